"""Settings files that say what differs: how they are put together, what goes wrong, and those of the project."""

from pathlib import Path

import pytest
import yaml

from memnas_core.errors import SettingsError
from memnas_core.settings.file import MAX_BYTES, MAX_EXTENDED, dump_settings, load_settings
from memnas_core.settings.words import differing_keys
from tests.core.small_search import small_settings

ROOT = Path(__file__).parents[3]
VARIANTS = [*sorted(ROOT.glob("params.*.yaml")), *sorted(ROOT.glob("benchmarks/*.yaml"))]
MAX_KEYS = 26


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A complete settings file; tests write those that extend it beside it."""
    path = tmp_path / "base.yaml"
    path.write_text(dump_settings(small_settings(tmp_path / "store")))
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_single_keys_are_replaced_and_lists_as_a_whole(base: Path) -> None:
    text = "extends: base.yaml\nstore: there\nsearch:\n  rounds: 9\n  rungs: [0.5]\nnetwork: {strides: [2]}\n"
    settings, before = load_settings(write(base.parent / "child.yaml", text)), load_settings(base)
    assert (settings.store, settings.search.rounds) == ("there", 9)
    assert (settings.search.rungs, settings.network.strides) == ((0.5,), (2,))
    changed = [line.partition(":")[0] for line in differing_keys(before, settings)]
    assert set(changed) == {"store", "network.strides", "search.rungs", "search.rounds"}


def test_null_is_a_value_that_replaces(base: Path) -> None:
    write(base.parent / "limited.yaml", "extends: base.yaml\nobjective: {max_total_bytes: 9}\n")
    child = write(base.parent / "child.yaml", "extends: limited.yaml\nobjective: {max_total_bytes: null}\n")
    assert load_settings(child) == load_settings(base)


def test_a_file_that_changes_nothing(base: Path) -> None:
    child = write(base.parent / "child.yaml", "extends: base.yaml\n")
    assert load_settings(child) == load_settings(base)
    assert load_settings(child).result_digest() == load_settings(base).result_digest()


def test_overrides_come_on_top(base: Path) -> None:
    child = write(base.parent / "child.yaml", "extends: base.yaml\nsearch: {rounds: 9, top_k: 7}\n")
    settings = load_settings(child, ["search.rounds=10", "training.epochs=11"])
    assert (settings.search.rounds, settings.search.top_k, settings.training.epochs) == (10, 7, 11)


def test_the_last_of_a_chain_wins(base: Path) -> None:
    write(base.parent / "middle.yaml", "extends: base.yaml\nsearch: {rounds: 5, top_k: 6, seed: 7}\n")
    child = write(base.parent / "child.yaml", "extends: middle.yaml\nsearch: {rounds: 8, seed: 9}\n")
    search = load_settings(child, ["search.seed=10"]).search
    assert (search.rounds, search.top_k, search.seed) == (8, 6, 10)


def test_a_path_is_relative_to_the_file_that_names_it(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(base.parent / "a" / "middle.yaml", "extends: ../base.yaml\nsearch: {rounds: 5}\n")
    write(base.parent / "a" / "b" / "child.yaml", "extends: ../middle.yaml\n")
    absolute = write(base.parent / "a" / "absolute.yaml", f"extends: {base}\n")
    monkeypatch.chdir(base.parent / "a")
    assert load_settings(Path("b/child.yaml")).search.rounds == 5
    assert load_settings(absolute) == load_settings(base)


def test_what_is_recorded_extends_nothing(base: Path) -> None:
    child = write(base.parent / "child.yaml", "extends: base.yaml\nsearch: {rounds: 9}\n")
    recorded = write(base.parent / "elsewhere" / "settings.yaml", dump_settings(load_settings(child)))
    assert "extends" not in yaml.safe_load(recorded.read_text())
    assert load_settings(recorded) == load_settings(child)


def refusal(path: Path, *overrides: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(path, overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("3", "expected the path of a settings file, found 3; name one, or remove the key"),
        ("null", "expected the path of a settings file, found null; name one, or remove the key"),
        ("''", 'expected the path of a settings file, found ""; name one, or remove the key'),
        ("[base.yaml]", 'expected the path of a settings file, found ["base.yaml"]; name one, or remove the key'),
        ("bass.yaml", "expected a settings file, found none at {folder}/bass.yaml; correct the path"),
        ("./child.yaml", "expected a file that does not lead back to itself, found {folder}/child.yaml; name another"),
    ],
)
def test_a_wrong_name_is_one_line_with_the_key(base: Path, value: str, message: str) -> None:
    child = write(base.parent / "child.yaml", f"extends: {value}\n")
    assert refusal(child).startswith(f"{child}: extends: {message.format(folder=base.parent)}")


def test_a_cycle_names_the_file_that_closes_it(tmp_path: Path) -> None:
    first = write(tmp_path / "first.yaml", "extends: second.yaml\n")
    second = write(tmp_path / "second.yaml", "extends: a/../link.yaml\n")
    (tmp_path / "a").mkdir()
    (tmp_path / "link.yaml").symlink_to(first)
    expected = f"expected a file that does not lead back to itself, found {tmp_path}/a/../link.yaml; name another one"
    assert refusal(first) == f"{second}: extends: {expected}"


def test_a_chain_has_an_end(base: Path) -> None:
    def chain(length: int) -> Path:
        for number in range(length):
            below = f"{number - 1}.yaml" if number else base.name
            write(base.parent / f"{number}.yaml", f"extends: {below}\n")
        return base.parent / f"{length - 1}.yaml"

    assert load_settings(chain(MAX_EXTENDED)) == load_settings(base)
    top = chain(MAX_EXTENDED + 1)
    expected = f"expected at most {MAX_EXTENDED} files, one below the other, under {top}, found more"
    assert refusal(top).startswith(f"{base.parent / '0.yaml'}: extends: {expected}; ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[1]", ": expected sections such as data: and search:, found [1]"),
        (b"search: [", ", line 1: expected YAML: "),
        (b"store: a\nstore: b\n", ", line 2: expected YAML: found the key store for the second time"),
        (b"\xff\xfe\x00", ": cannot be read as a settings file: "),
        (b"#" * (MAX_BYTES + 1), ": cannot be read as a settings file: "),
        (b"store: &a [*a]\n", ": expected YAML: expected at most 50 levels"),
    ],
)
def test_every_file_is_read_within_limits(base: Path, content: bytes, message: str) -> None:
    child = write(base.parent / "child.yaml", "extends: base.yaml\n")
    base.write_bytes(content)
    assert refusal(child).startswith(f"{base}{message}")


@pytest.mark.parametrize("value", ["/dev/zero", '"a\\0b"', '"\\ud800"', "x" * 5000, "base.yaml/x", "."])
def test_what_is_no_file_is_not_read(base: Path, value: str) -> None:
    child = write(base.parent / "child.yaml", f"extends: {value}\n")
    assert ": cannot be read as a settings file: " in refusal(child)


def test_a_wrong_key_is_sought_in_the_file_that_has_it(base: Path) -> None:
    child = write(base.parent / "child.yaml", "extends: base.yaml\nsearch: {top_k: 7}\ntraining: {zpochs: 3}\n")
    assert refusal(child).startswith(f"{child}: training.zpochs: expected one of epochs, ")
    write(child, "extends: base.yaml\nsearch: {top_k: 7}\n")
    write(base, base.read_text().replace("rounds: ", "rounds: -"))
    expected = "search.rounds: expected a number of at least 1, found -"
    assert refusal(child).startswith(f"{base}: {expected}")
    assert refusal(child, "search.seed=3").startswith(f"{base}: {expected}")
    assert refusal(child, "search.rounds=-9").startswith(f"{child} with --set search.rounds=-9: {expected}9")


def test_keys_that_do_not_fit_together_are_the_named_file_s(base: Path) -> None:
    child = write(base.parent / "child.yaml", "extends: base.yaml\ndata: {dataset: folder}\n")
    assert refusal(child) == f"{child}: data.folder: expected the path of the class folders, found null"


def test_a_misspelt_extends_is_told_its_name(base: Path) -> None:
    child = write(base.parent / "child.yaml", "extend: base.yaml\n")
    assert refusal(child) == (
        f"{child}: extend: expected one of store, data, network, search, objective, training, controller, final, "
        "execution, tracking, versioning, or extends in a file, found extend; correct its spelling or remove it"
    )


@pytest.mark.parametrize("path", VARIANTS, ids=lambda path: path.name)
def test_the_files_of_the_project_say_only_what_differs(path: Path) -> None:
    document = yaml.safe_load(path.read_text())
    below = load_settings(path.parent / document.pop("extends"))
    said = {f"{section}.{key}" for section, values in document.items() for key in values}
    differing = {line.partition(":")[0] for line in differing_keys(load_settings(path), below)}
    assert said == differing
    assert 0 < len(said) <= MAX_KEYS
