"""What lies beside an exported file suffices to use it: each test reads only that, as a stranger's program would."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image, ImageOps

from memnas_core.export import images as images_module
from memnas_core.export.program_runner import ProgramRunner
from memnas_core.prediction.classifier import load_classifier
from tests.flows.command_line import Memnas, in_this_process
from tests.flows.made_up_store import write_store

KINDS = [(name, int8) for name in ("onnx", "executorch", "pt2") for int8 in (False, True)]


@pytest.fixture
def memnas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Memnas:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(images_module, "CHECK_IMAGES", 20)
    write_store(tmp_path)
    return in_this_process(monkeypatch, capfd, "export")


@dataclass(frozen=True)
class Exported:
    """An exported file, with what its data sheet says."""

    path: Path
    sheet: dict

    def array(self, what: str) -> np.ndarray:
        facts = self.sheet["test_vectors"]["files"][what]
        dtype = np.dtype(facts["dtype"]).newbyteorder("<")
        return np.fromfile(self.path.with_name(facts["name"]), dtype).reshape(facts["shape"])

    @property
    def int8(self) -> bool:
        return "int8" in self.path.name

    def run(self, image: np.ndarray) -> np.ndarray:
        """Run the file on an input of the shape that the sheet gives."""
        match self.sheet["file"]["format"]:
            case "onnx":
                (scores,) = onnxruntime.InferenceSession(str(self.path)).run(
                    [self.sheet["output"]["name"]], {self.sheet["input"]["name"]: image}
                )
            case "pt2":
                import torchao.quantization.pt2e.quantize_pt2e  # noqa: F401

                scores = torch.export.load(self.path).module()(torch.from_numpy(image)).detach().numpy()
            case "executorch" if not self.int8:
                from executorch.runtime import Runtime

                method = Runtime.get().load_program(self.path).load_method("forward")
                scores = method.execute([torch.from_numpy(image)])[0].numpy().copy()
            case _:  # its kernels are a Cortex-M's
                import executorch.backends.cortex_m.quantizer.quantizer  # noqa: F401

                scores = ProgramRunner(self.path.read_bytes()).run(torch.from_numpy(image)).numpy()
        return scores


def export(memnas: Memnas, kind: tuple[str, bool]) -> Exported:
    name, int8 = kind
    code, _, err = memnas("digits", "--format", name, *(["--int8"] if int8 else []))
    assert code == 0, err
    (sheet,) = Path("store/searches/digits/exports").glob("*.json")
    return Exported(sheet.with_suffix(""), json.loads(sheet.read_text()))


def as_input(pixels: np.ndarray, sheet: dict) -> np.ndarray:
    """Make the inputs of a file of images (n, height, width, channels), by the sheet alone."""
    facts = sheet["input"]
    floats = (pixels * facts["pixel_scale"] - np.array(facts["mean"])) / np.array(facts["std"])
    if facts["axes"][1] == "channels":
        floats = floats.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(floats, dtype=np.float32)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind[0]}{'-int8' if kind[1] else ''}")
def test_vectors_are_what_the_file_takes_and_gives(kind: tuple[str, bool], memnas: Memnas) -> None:
    exported = export(memnas, kind)
    sheet, path = exported.sheet, exported.path
    assert sheet["file"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert sheet["file"]["bytes"] == path.stat().st_size
    images, inputs, outputs = (exported.array(what) for what in ("images", "inputs", "outputs"))
    made = as_input(images, sheet)
    assert sheet["test_vectors"]["files"]["inputs"]["axes"][1:] == sheet["input"]["axes"][1:]
    np.testing.assert_allclose(inputs, made, atol=1e-5)
    assert list(made[:1].shape) == sheet["input"]["shape"]
    for image, scores, name in zip(made, outputs, sheet["test_vectors"]["classes"], strict=True):
        found = exported.run(image[None])[0]
        np.testing.assert_allclose(found, scores, atol=1e-4 * np.abs(outputs).max())
        assert sheet["output"]["classes"][int(found.argmax())] == name
    assert [list(outputs.shape)[1]] == sheet["output"]["shape"][1:]
    assert sheet["test_vectors"]["test_images"] == [0, 179, 358]


def test_a_photo_becomes_an_input_by_the_sheet_alone(memnas: Memnas, tmp_path: Path) -> None:
    """The steps that the sheet names, done with Pillow and NumPy, against memnas's own prediction."""
    exported = export(memnas, ("onnx", False))
    facts = exported.sheet["input"]["from_file"]
    assert (facts["exif_rotation"], facts["resize"], facts["filter"]) == (True, "center_crop", "triangle")
    assert exported.sheet["input"]["channel_order"] == ["grey"]
    photo = tmp_path / "photo.png"
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    generator = np.random.default_rng(0)
    Image.fromarray(generator.integers(0, 256, (5, 4, 3), np.uint8)).resize((29, 17)).save(photo, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(photo)).convert("L")
    side = facts["side"]
    square = ImageOps.fit(upright, (side, side), Image.Resampling.BILINEAR)
    scores = exported.run(as_input(np.asarray(square)[None, :, :, None], exported.sheet))[0]
    shares = np.exp(scores) / np.exp(scores).sum()
    (expected,) = load_classifier("digits").predict([photo])
    named = dict(zip(exported.sheet["output"]["classes"], shares.tolist(), strict=True))
    assert named == pytest.approx(dict(expected.scores), abs=1e-5)


def test_which_images_the_accuracy_is_of(memnas: Memnas) -> None:
    exported = export(memnas, ("pt2", False))
    found = exported.sheet["accuracy"]
    assert found["images"] == "20 of 359 test images, evenly spread: numbers round(linspace(0, 358, 20))"
    assert found["count"] == 20
    assert found["data_digest"] == exported.sheet["network"]["data_digest"]
    card = exported.path.with_name(f"{exported.path.name}.md").read_text()
    assert f"accuracy of the torch network on {found['images']}" in card
    assert f"{exported.path.name}.inputs.bin" in card
    for step in exported.sheet["input"]["steps"]:
        assert step in card


def test_what_a_firmware_must_bring(memnas: Memnas) -> None:
    """Compared with what ExecuTorch's own reader says of the file."""
    from executorch.exir._serialize._program import deserialize_pte_binary

    exported = export(memnas, ("executorch", True))
    (plan,) = deserialize_pte_binary(exported.path.read_bytes()).program.execution_plan
    used = [plan.operators[step.instr_args.op_index] for step in plan.chains[0].instructions]
    operators = exported.sheet["operators"]
    assert operators == sorted({f"{operator.name}.{operator.overload}" for operator in used})
    assert "cortex_m::quantized_conv2d.out" in operators or "cortex_m::quantized_conv2d_nhwc.out" in operators
    memory = exported.sheet["memory"]
    assert memory["planned_buffers_bytes"] == plan.non_const_buffer_sizes[1:]
    assert memory["planned_bytes"] == sum(plan.non_const_buffer_sizes)
    card = exported.path.with_name(f"{exported.path.name}.md").read_text()
    assert [needs["pointer_bits"] for needs in memory["allocators"]] == [32, 64]
    for needs in memory["allocators"]:  # test_runtime_tables.py compares them with the runtime
        assert f"With {needs['pointer_bits']}-bit pointers" in card
        assert f"another {needs['method_bytes']:,} bytes" in card
    assert all(f"`{operator}`" in card for operator in operators)
