"""Settings: the two files of the project, and one clear line for whatever is wrong."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, fields, is_dataclass
from pathlib import Path

import pytest
import yaml

from memnas_core.errors import InputError, SettingsError
from memnas_core.settings.file import dump_settings, load_settings, parse_settings
from memnas_core.settings.schema import Settings
from memnas_core.settings.words import differing_keys

ROOT = Path(__file__).parents[3]
PARAMS = ROOT / "params.yaml"
PAPER = ROOT / "params.paper.yaml"


def test_params_yaml_is_valid_and_complete() -> None:
    assert load_settings(PARAMS).as_dict() == as_tuples(yaml.safe_load(PARAMS.read_text()))


def as_tuples(value: object) -> object:
    """Return what YAML holds with tuples for lists."""
    if isinstance(value, dict):
        return {key: as_tuples(entry) for key, entry in value.items()}
    return tuple(map(as_tuples, value)) if isinstance(value, list) else value


def test_the_paper_settings_are_those_of_section_4_1() -> None:
    settings = load_settings(PAPER)
    assert settings.data.dataset == "cifar10"
    assert (settings.network.filters, len(settings.network.strides)) == (64, 5)
    assert settings.search.top_k == 100
    training = settings.training
    assert (training.epochs, training.batch_size) == (60, 128)
    assert (training.learning_rate, training.momentum) == (0.01, 0.9)
    assert training.crop_padding == 4, "32 pixels padded to 40"
    assert (settings.controller.embedding_size, settings.controller.hidden_size) == (100, 100)


def test_settings_are_frozen() -> None:
    settings = load_settings(PARAMS)
    with pytest.raises(FrozenInstanceError):
        settings.store = "elsewhere"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        settings.search.rounds = 3  # type: ignore[misc]


PLACES = ("store", "execution", "tracking", "versioning")
ADDED_LATER = {
    "data.resize",
    "data.skip_unreadable",
    "data.follow_links",
    "data.max_pixels",
    "objective.accuracy",
    "final.all_images",
    "search.widths",
    "search.seed_shares",
    "search.choice",
    "network.stem_stride",
}


def test_no_setting_has_a_default_but_those_that_were_added_later() -> None:
    document = yaml.safe_load(PARAMS.read_text())
    for section in fields(Settings):
        without = {key: value for key, value in document.items() if key != section.name}
        expect_error(without, f"{section.name}: expected a value, found nothing; add it")
        if is_dataclass(section.type):
            for field in fields(section.type):
                values = {key: value for key, value in document[section.name].items() if key != field.name}
                dotted = f"{section.name}.{field.name}"
                if dotted in ADDED_LATER:
                    parse_settings(document | {section.name: values}, "older")
                    continue
                expect_error(document | {section.name: values}, f"{dotted}: expected a value, found nothing")


def expect_error(document: Mapping[str, object], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings(document, source="x.yaml")
    assert str(caught.value).startswith(f"x.yaml: {message}")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        # unknown keys
        (
            "search.roundz=3",
            "search.roundz: expected one of seed, moves, selection, aim, seed_cells, seed_rungs, weights, "
            "warm_learning_rate, rungs, keep, top_k, rounds, max_cells, max_training_images, patience, widths, "
            "seed_shares, choice, found roundz; correct its spelling or remove it",
        ),
        ("seed=3", "seed: expected one of store, data, network, search, objective, training,"),
        # wrong types
        ("search.rounds=many", 'search.rounds: expected a whole number, found "many"'),
        ("search.rounds='4'", 'search.rounds: expected a whole number, found "4"'),
        ("search.rounds=2.5", "search.rounds: expected a whole number, found 2.5"),
        ("search.rounds=true", "search.rounds: expected a whole number, found true"),
        ("search.rounds=null", "search.rounds: expected a whole number, found null"),
        ("search.rounds=[4]", "search.rounds: expected a whole number, found [4]"),
        ("data.image_size=2026-11-22", 'data.image_size: expected a whole number, found "2026-11-22"'),
        ("data.horizontal_flip=1", "data.horizontal_flip: expected true or false, found 1"),
        ("data.folder=3", "data.folder: expected a string, found 3"),
        ("training.learning_rate=fast", 'training.learning_rate: expected a number, found "fast"'),
        ("network.strides=2", "network.strides: expected a list, found 2"),
        ("network.strides=[1, true]", "network.strides.1: expected a whole number, found true"),
        ("objective.weight_bytes=4.0", "objective.weight_bytes: expected a whole number, found 4.0"),
        ("search=3", "search: expected a section of keys, found 3"),
        ("search=null", "search: expected a section of keys, found null"),
        # impossible values
        ("search.rounds=0", "search.rounds: expected a number of at least 1, found 0"),
        ("search.seed=-1", "search.seed: expected a number of at least 0, found -1"),
        ("network.strides=[]", "network.strides: expected a list that is not empty, found []"),
        ("network.strides=[1, 3]", "network.strides.1: expected 1 or 2, found 3"),
        ("objective.weight_bytes=3", "objective.weight_bytes: expected 1, 2 or 4, found 3"),
        (
            "objective.accuracy_weight=1.5",
            "objective.accuracy_weight: expected a number of at most 1, found 1.5",
        ),
        *(
            (
                f"objective.accuracy_floor={value}",
                f"objective.accuracy_floor: expected auto, null, or a number of at least 0 and below 1, found {found}",
            )
            for value, found in (("1", "1"), ("-0.1", "-0.1"), (".nan", "NaN"), ("true", "true"), ("best", '"best"'))
        ),
        ("objective.accuracy_weight=.nan", "objective.accuracy_weight: expected a finite number, found NaN"),
        ("data.validation_fraction=1", "data.validation_fraction: expected a number below 1, found 1"),
        ("data.validation_fraction=0", "data.validation_fraction: expected a number above 0, found 0"),
        ("training.momentum=1", "training.momentum: expected a number below 1, found 1"),
        ("training.learning_rate=0", "training.learning_rate: expected a number above 0, found 0"),
        ("search.moves=trim", "search.moves: expected 'grow_and_trim' or 'grow', found \"trim\""),
        ("search.selection=scc", "search.selection: expected 'controller' or 'random', found \"scc\""),
        ("search.aim=both", "search.aim: expected 'front' or 'score', found \"both\""),
        ("search.aim=score", "search.seed_cells: expected one pair with search.aim: score, found 2"),
        ("search.choice=controller", "search.choice: expected measured with more than one rung, found controller: "),
        ("search.seed_shares=[0.5]", "search.seed_shares: expected [1.0] without search.widths, found [0.5]: "),
        ("network.stem_stride=3", "network.stem_stride: expected 1 or 2, found 3"),
        ("search.rungs=[]", "search.rungs: expected"),
        ("search.keep=0", "search.keep: expected a number above 0, found 0"),
        ("search.seed_cells=[[conv_3x3, conv_4x4]]", "search.seed_cells.0.1: expected"),
        ("controller.target=metric", "controller.target: expected accuracy with search.aim: front, found metric"),
        ("training.device=gpu", "training.device: expected 'auto', 'cpu' or 'cuda', found \"gpu\""),
        (
            "training.precision=half",
            "training.precision: expected 'auto', 'float32', 'bfloat16' or 'float16', found \"half\"",
        ),
        (
            "data.dataset=mnist",
            "data.dataset: expected 'digits', 'fashion-mnist', 'cifar10' or 'folder', found",
        ),
        ("data.dataset=folder", "data.folder: expected the path of the class folders, found null"),
        ("execution.gpu_fraction=0", "execution.gpu_fraction: expected a number of at least 0.001, found 0"),
        ("execution.memory_limit_bytes=0", "execution.memory_limit_bytes: expected a number of at least 1, found 0"),
        (
            "execution.memory_limit_bytes=1e9",
            "execution.memory_limit_bytes: expected a whole number, found 1000000000.0",
        ),
        ("execution.training_seconds=0", "execution.training_seconds: expected a number above 0, found 0"),
        ("execution.gpu_fraction=2", "execution.gpu_fraction: expected a number of at most 1, found 2"),
        ("store=''", 'store: expected a path that is not empty and has no zero bytes, found ""'),
        ("execution.runner=dask", "execution.runner: expected 'processes' or 'ray', found \"dask\""),
        ("execution.ray_cpus=0", "execution.ray_cpus: expected a number above 0, found 0"),
    ],
)
def test_a_wrong_value_is_one_line_with_the_dotted_key(override: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(PARAMS, [override])
    text = str(caught.value)
    assert text.startswith(f"{PARAMS} with --set {override}: {message}")
    assert "\n" not in text
    assert isinstance(caught.value, InputError)
    assert caught.value.exit_code == 2


def test_a_misspelt_key_is_named_before_the_one_that_is_missing() -> None:
    document = yaml.safe_load(PARAMS.read_text())
    document["training"] = {"zpochs" if k == "epochs" else k: v for k, v in document["training"].items()}
    expect_error(document, "training.zpochs: expected one of epochs, batch_size,")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("search.rounds", "expected section.key=value, such as search.rounds=6"),
        ("=3", "expected section.key=value"),
        ("search..rounds=3", "expected section.key=value"),
        ("serach.rounds=3", "expected one of the sections data, network, search, "),
        ("store.rounds=3", "expected one of the sections data, network, search, "),
        ("search.rounds=[", "expected a value in YAML, found ["),
    ],
)
def test_a_wrong_override_is_one_line(override: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(PARAMS, [override])
    assert str(caught.value).startswith(f"--set {override}: {message}")
    assert "\n" not in str(caught.value)


def test_overrides_replace_values() -> None:
    overrides = ["search.rounds=9", "training.learning_rate=1e-3", "network.strides=[2, 1]", "store=there"]
    settings = load_settings(PARAMS, [*overrides, "search.rounds=10"])
    assert settings.search.rounds == 10
    assert settings.training.learning_rate == 0.001
    assert settings.network.strides == (2, 1)
    assert settings.store == "there"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ": expected sections such as data: and search:, found null"),
        (b"[1]", ": expected sections such as data: and search:, found [1]"),
        (b"search: [", ", line 1: expected YAML: "),
        (b"store: a\nstore: b\n", ", line 2: expected YAML: found the key store for the second time"),
        (b"store: !!python/name:os.system\n", ", line 1: expected YAML: "),
        (b"store: \x00", ": expected YAML: "),
        (b"\xff\xfe\x00", ": cannot be read as a settings file: "),
        (b"search: 5\n", ": store: expected a value, found nothing"),
        (b"store: &a [*a]\n", ": expected YAML: expected at most 50 levels"),
        (b"2026-11-22: 1\n", ": expected sections of keys and plain values: "),
    ],
)
def test_a_broken_file_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    assert str(caught.value).startswith(f"{path}{message}")
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such settings file; name one with --params FILE"):
        load_settings(tmp_path / "none.yaml")
    with pytest.raises(SettingsError, match="cannot be read as a settings file"):
        load_settings(tmp_path)


@pytest.mark.parametrize("path", [PARAMS, PAPER], ids=lambda path: path.name)
def test_dumped_settings_read_back_equal(path: Path, tmp_path: Path) -> None:
    settings = load_settings(path, ["training.learning_rate=1e-5"])
    copy = tmp_path / "copy.yaml"
    copy.write_text(dump_settings(settings))
    assert load_settings(copy) == settings
    assert load_settings(copy).result_digest() == settings.result_digest()


def test_the_digest_knows_what_decides_a_result() -> None:
    digest = load_settings(PARAMS).result_digest()
    for same in (
        "store=elsewhere",
        "execution.workers=7",
        "execution.gpu_fraction=0.5",
        "execution.memory_limit_bytes=1000000000",
        "execution.training_seconds=9.5",
        "execution.runner=ray",
        "execution.ray_cpus=2",
        "tracking.experiment=other",
        "versioning.remote=s3://bucket/path",
    ):
        assert load_settings(PARAMS, [same]).result_digest() == digest
    deciding = [
        "search.seed=1",
        "search.moves=grow",
        "search.selection=random",
        "data.validation_fraction=0.3",
        "network.filters=8",
        "objective.accuracy_weight=0.4",
        "objective.device=rp2040",
        "objective.max_param_bytes=64000",
        "training.epochs=1",
        "search.weights=fresh",
        "search.rungs=[0.3]",
        "objective.accuracy_floor=0.9",
        "controller.hidden_size=7",
        "final.epochs=1",
    ]
    digests = {load_settings(PARAMS, [override]).result_digest() for override in deciding}
    assert len(digests | {digest}) == len(deciding) + 1


@pytest.mark.parametrize(("value", "read"), [("auto", "auto"), ("null", None), ("0", 0.0), ("0.97", 0.97)])
def test_a_floor_is_a_figure_or_follows_from_the_search(value: str, read: float | str | None) -> None:
    floor = load_settings(PARAMS, [f"objective.accuracy_floor={value}"]).objective.accuracy_floor
    assert (floor, type(floor)) == (read, type(read))


def test_differing_keys_are_named() -> None:
    ours = load_settings(PARAMS)
    assert differing_keys(ours, ours) == []
    theirs = load_settings(PARAMS, ["search.seed=5", "store=there"])
    assert differing_keys(ours, theirs) == [
        f"store: {ours.store} here, there there",
        f"search.seed: {ours.search.seed} here, 5 there",
    ]


def test_settings_of_an_older_search_mean_what_they_meant() -> None:
    """The digest is that of the keys that were there before `data.resize` and its like."""
    document = yaml.safe_load(PARAMS.read_text())
    older = {
        section: {key: value for key, value in document[section].items() if f"{section}.{key}" not in ADDED_LATER}
        for section in ("data", "network", "search", "objective", "final")
    }
    settings = parse_settings(document | older, "older")
    deciding = {key: value for key, value in settings.as_dict().items() if key not in PLACES} | older
    text = json.dumps(deciding, sort_keys=True)
    assert settings.result_digest() == hashlib.sha256(text.encode()).hexdigest()[:16]
    assert settings.result_digest() == load_settings(PARAMS).result_digest()
    assert settings.result_digest() != load_settings(PARAMS, ["data.resize=squash"]).result_digest()
