"""Exported programs: the same graph as the module's, nothing in the file is run, and clear refusals."""

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch._export.serde.schema import SCHEMA_VERSION
from torch.nn import functional as F

from memnas_core.errors import InputError
from memnas_core.tracing.archive import SCHEMA_MAJOR
from memnas_core.tracing.program import trace_program
from memnas_core.tracing.trace import trace

Change = Callable[[dict[str, object]], None]


class Block(nn.Module):
    """Convolutions with batch norm, a residual addition, a concatenation, and a module that runs twice."""

    def __init__(self, activation: type[nn.Module] = nn.Hardswish) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), activation(inplace=True))
        self.shared = nn.Conv2d(4, 4, 1)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(8, 5)

    def forward(self, image: Tensor) -> Tensor:
        kept = self.stem(image)
        once = F.relu(self.shared(kept))
        added = self.shared(once) + kept
        joined = self.drop(torch.cat([added, once], dim=1))
        return self.head(joined.mean((2, 3)))


class Gated(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, image: Tensor) -> Tensor:
        return self.inner(image)


class Positive(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image[image > 0]


class Choice(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return torch.cond(image.sum() > 0, torch.sin, torch.cos, (image,))


def saved(module: nn.Module, path: Path, shape: tuple[int, ...] = (1, 3, 8, 8), **options: object) -> Path:
    torch.export.save(torch.export.export(module, (torch.zeros(shape),), **options), path)
    return path


@pytest.fixture(scope="module")
def block_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(Block().eval(), tmp_path_factory.mktemp("exported") / "block.pt2")


def rewritten(
    source: Path, target: Path, change: Change = lambda _: None, extra: dict[str, bytes] | None = None
) -> Path:
    """Copy an archive with its program's JSON changed and members added."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if "/models/" in name:
                document = json.loads(content)
                change(document)
                content = json.dumps(document).encode()
            if name.split("/", 1)[1] not in (extra or {}):
                new.writestr(name, content)
        root = old.namelist()[0].split("/")[0]
        for name, content in (extra or {}).items():
            new.writestr(f"{root}/{name}", content)
    return target


def test_the_graph_is_that_of_the_module(block_file: Path) -> None:
    exported, shapes = trace_program(block_file)
    traced = trace(Block(), (3, 8, 8))
    assert shapes == ((1, 3, 8, 8),)
    assert exported.plain() == traced.plain()
    assert exported == traced


def test_a_decomposed_program_and_one_exported_in_training(tmp_path: Path) -> None:
    # A decomposed hard swish is four operations, the first and the last of which read the same tensor.
    traced = trace(Block(nn.ReLU6), (3, 8, 8))
    program = torch.export.export(Block(nn.ReLU6).eval(), (torch.zeros(1, 3, 8, 8),)).run_decompositions()
    torch.export.save(program, tmp_path / "core.pt2")
    training = saved(Block(nn.ReLU6).train(), tmp_path / "training.pt2")
    for path in (tmp_path / "core.pt2", training):
        exported, _ = trace_program(path)
        assert exported.sizes(4) == traced.sizes(4)
        assert (exported.folded, exported.unfolded, exported.roles()) == (
            traced.folded,
            traced.unfolded,
            traced.roles(),
        )


def test_weights_that_are_one_tensor_count_once(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    module[1].weight = module[0].weight
    exported, _ = trace_program(saved(module, tmp_path / "tied.pt2", (1, 4)))
    assert exported.weights == trace(module, (4,)).weights == 16 + 4 + 4


def test_the_format_is_the_installed_torch_s() -> None:
    assert SCHEMA_VERSION[0] == SCHEMA_MAJOR


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def test_nothing_in_the_file_is_unpickled(block_file: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    payload = pickle.dumps(Bomb(mark))
    extra = {"data/sample_inputs/model.pt": payload, "data/constants/opaque_obj_0": payload}
    path = rewritten(block_file, tmp_path / "bomb.pt2", extra=extra)
    exported, _ = trace_program(path)
    assert exported == trace(Block(), (3, 8, 8))
    assert not mark.exists()
    pickle.loads(payload)
    assert mark.exists()


def first_node(document: dict[str, object]) -> dict[str, object]:
    return document["graph_module"]["graph"]["nodes"][0]


@pytest.mark.parametrize(
    "target",
    [
        "torch.os.system",
        "torch.ops.aten.from_file.default",
        "torch.ops.mine.op.default",
        "torch.ops.aten.absent.default",
        "_operator.mul",
    ],
)
def test_only_operators_of_torch_are_called(target: str, block_file: Path, tmp_path: Path) -> None:
    path = rewritten(block_file, tmp_path / "x.pt2", lambda document: first_node(document).update(target=target))
    with pytest.raises(InputError, match=rf"layer stem\.0: .*{target}, for which no size rule"):
        trace_program(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["schema_version"].update(major=7), "format 8, found format 7 of torch"),
        (lambda d: d.pop("graph_module"), "damaged .*graph_module"),
        (lambda d: first_node(d).pop("inputs"), r"damaged .*nodes\.0\.inputs"),
        (lambda d: d["graph_module"]["graph"]["tensor_values"].clear(), "damaged .*no shape of"),
        (lambda d: first_node(d)["inputs"].pop(1), r"layer stem\.0.*weight"),
    ],
)
def test_a_changed_program(change: Change, message: str, block_file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        trace_program(rewritten(block_file, tmp_path / "x.pt2", change))


def test_files_that_are_no_program(block_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.pt2"

    def refused(message: str) -> None:
        with pytest.raises(InputError, match=message) as caught:
            trace_program(path)
        assert "\n" not in str(caught.value)

    refused("cannot be read: No such file")
    path.write_text("no archive")
    refused("none or a damaged one")
    whole = block_file.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused("none or a damaged one")
    place = whole.index(b'"graph_module"')
    path.write_bytes(whole[:place] + b"#" + whole[place + 1 :])
    refused("damaged")
    torch.save(Block().state_dict(), path)
    refused("torch.save")
    with zipfile.ZipFile(path, "w"):
        pass
    refused("nothing in it")


def test_what_cannot_be_known_before_it_runs(tmp_path: Path) -> None:
    side = torch.export.Dim("side", min=4, max=64)
    shapes = ({2: side},)
    with pytest.raises(InputError, match="input 'image' with a dynamic one"):
        trace_program(saved(Gated(nn.ReLU()), tmp_path / "dynamic.pt2", dynamic_shapes=shapes))
    with pytest.raises(InputError, match=r"layer inner: .*depends on values"):
        trace_program(saved(Gated(Positive()), tmp_path / "positive.pt2"))
    with pytest.raises(InputError, match=r"higher_order\.cond, which chooses"):
        trace_program(saved(Gated(Choice()), tmp_path / "choice.pt2"))
    with pytest.raises(InputError, match="batch of 1"):
        trace_program(saved(Gated(nn.ReLU()), tmp_path / "batch.pt2", (4, 3, 8, 8)))
