"""Settings files, overrides, names and arguments that no search may start with.

Each entry: a name for it, the bytes of the settings file (None: the good one), arguments, words of the message.
"""

from typing import NamedTuple

BOMB = b"a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (level, level, b", ".join([b"*a%d" % (level - 1)] * 10)) for level in range(1, 12)
)
"""The values that each line stands for are ten times those of the line before: a million million of them."""


class Case(NamedTuple):
    label: str
    settings: bytes | None
    arguments: tuple[str, ...]
    words: str


FILES = tuple(
    Case(label, settings, ("search",), words)
    for label, settings, words in (
        ("empty", b"", "params.yaml: expected sections"),
        ("a list", b"[1]", "params.yaml: expected sections"),
        ("a number", b"7", "params.yaml: expected sections"),
        ("open bracket", b"search: [", "params.yaml, line 1: expected YAML"),
        ("a tab", b"search:\n\tseed: 1\n", "params.yaml, line 2: expected YAML"),
        ("no text", b"\xff\xfe\x00", "params.yaml: cannot be read as a settings file"),
        ("zero byte", b"store: \x00", "params.yaml: expected YAML"),
        ("pickle", b"\x80\x04\x95\x10\x00\x00\x00\x00", "params.yaml: cannot be read as a settings file"),
        ("gzip", b"\x1f\x8b\x08\x00\x00", "params.yaml: cannot be read as a settings file"),
        ("key twice", b"store: a\nstore: b\n", "params.yaml, line 2: expected YAML: found the key store"),
        ("Python object", b"store: !!python/object/apply:os.system [touch ran]\n", "line 1: expected YAML"),
        ("Python name", b"store: !!python/name:os.system\n", "line 1: expected YAML"),
        ("Python module", b"!!python/module:antigravity\n", "line 1: expected YAML"),
        ("own tag", b"store: !run touch ran\n", "line 1: expected YAML"),
        ("no day", b"store: 2001-99-99\n", "params.yaml: expected YAML: found a value that cannot be read"),
        ("no truth value", b"store: !!bool perhaps\n", "expected YAML: found a value that cannot be read"),
        ("no time", b"store: !!timestamp soon\n", "expected YAML: found a value that cannot be read"),
        ("no number", b"store: !!int many\n", "expected YAML: found a value that cannot be read"),
        ("long number", b"store: " + b"9" * 5000, "expected YAML: found a value that cannot be read"),
        ("references to references", BOMB, "params.yaml: expected YAML: expected at most 10,000 values"),
        ("itself", b"a: &a [*a]\n", "params.yaml: expected YAML: expected at most 50 levels"),
        ("deep", b"[" * 500 + b"]" * 500, "params.yaml: expected YAML: expected at most 50 levels"),
        ("very deep", b"[" * 100_000, "params.yaml: expected YAML: expected at most 50 levels"),
        ("long", b"# " + b"x" * 300_000, "params.yaml: cannot be read as a settings file"),
        ("date as key", b"2026-11-22: 1\n", "params.yaml: expected sections of keys and plain values"),
        ("list as key", b"? [a, b]\n: 1\n", "expected YAML"),
        ("extends itself", b"extends: params.yaml\n", "params.yaml: extends: expected a file that does not lead back"),
        ("extends a number", b"extends: 7\n", "params.yaml: extends: expected the path of a settings file, found 7"),
        ("extends nothing", b"extends: none.yaml\n", "params.yaml: extends: expected a settings file, found none at"),
        ("extends what has no end", b"extends: /dev/zero\n", "/dev/zero: cannot be read as a settings file"),
        ("extends no path", b'extends: "a\\0b"\n', "cannot be read as a settings file"),
        ("half a character", b'store: "\\ud800"\n', "params.yaml"),
    )
)

OVERRIDES = tuple(
    Case(f"set {override[:30]!a}", None, ("search", "--set", override), words)
    for override, words in (
        ("rounds", "--set rounds: expected section.key=value"),
        ("=1", "--set =1: expected section.key=value"),
        ("search..seed=1", "--set search..seed=1: expected section.key=value"),
        ("search.rounds=2001-99-99", "expected a value in YAML"),
        ("search.rounds=!!python/name:os.system", "expected a value in YAML"),
        (f"search.rounds={'9' * 5000}", "expected a value in YAML"),
        (f"search.rounds={'[' * 3000}", "expected a value in YAML"),
        ("search.rounds=.inf", "search.rounds: expected"),
        ("search.rounds=.nan", "search.rounds: expected"),
        ("search.rounds=-1", "search.rounds: expected"),
        ("search.rounds='4'", "search.rounds: expected"),
        ("search.__class__=1", "search.__class__: expected one of"),
        ("training.learning_rate=.inf", "training.learning_rate: expected"),
        ("network.strides=[1, 3]", "network.strides"),
        ("network.strides={a: 1}", "network.strides"),
        ("network.filters=1e400", "network.filters"),
        ("data.dataset=../../etc", "data.dataset: expected"),
        ("data.image_size=1000000000", "data.image_size: expected"),
        ('store="a\\0b"', "store: expected"),
        ('data.folder="a\\0b"', "data.folder: expected"),
        ('data.folder="a\\nb"', "--name 'a\\nb': expected a plain file name"),
        ("objective.device=../devices", "objective.device: expected"),
        ("tracking.uri=5", "tracking.uri: expected"),
        ("tracking.uri=javascript:alert(1)", "tracking.uri: expected"),
        ("tracking.uri=http://[::1", "tracking.uri: expected a URI"),
        ("tracking.experiment=''", "tracking.experiment: expected"),
        ("search.seed_cells=[[conv_3x3, __import__]]", "search.seed_cells"),
    )
)

NAMES = tuple(
    Case(f"name {name[:20]!a}", None, (command, "--name", name), "expected a plain file name")
    for command in ("search", "report")
    for name in (
        "..",
        "../up",
        "/etc",
        "a/b",
        ".hidden",
        "line\nbreak",
        "\x1b[2Jgone",
        "tab\t",
        "n" * 300,
        "byte\udcff",
    )
)

ARGUMENTS = tuple(
    Case(f"export {target[:20]!a}", None, ("export", target, "--format", "pt2"), words)
    for target, words in (
        ("../../etc/passwd", "expected"),
        ("letters/../../x", "expected"),
        ("", "expected"),
        ("\x1b[2J", "expected"),
    )
)

CASES = FILES + OVERRIDES + NAMES + ARGUMENTS
