"""What `--input` and `--model-args` say: tensors that enter a network, and arguments by which it is built."""

import ast
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from memnas_core.errors import InputError

KINDS = ("float", "half", "bfloat16", "double", "int", "int32", "uint8", "bool")
"""Types of elements; `memnas_core.tracing.inputs` says which types of torch they are."""

# Larger figures are typing errors. Together they stay below 2**63 bytes, which torch could not count.
MAX_SIDE, MAX_VALUES, MAX_BATCH = 2**24, 2**36, 2**20


@dataclass(frozen=True, slots=True)
class InputText:
    """A tensor that enters the network, as the command line gives it.

    Attributes:
        shape: Shape without the batch; empty for one number an image.
        kind: Type of its elements, one of `KINDS`.
        name: Argument of the network, with the place inside it; empty for the next argument.
    """

    shape: tuple[int, ...]
    kind: str = "float"
    name: str = ""

    @property
    def is_image(self) -> bool:
        """Whether it can be an image: channels, height and width of floats."""
        return len(self.shape) == 3 and self.kind == "float" and not self.name


def parse_input(text: str) -> InputText:
    """Read `3,224,224`, `16:int`, `:int` for one integer an image, or `batch.mask=16:bool`.

    Raises:
        InputError: The text is no such shape.
    """
    name, equals, rest = text.rpartition("=")
    shape_text, colon, kind = rest.partition(":")
    try:
        shape = tuple(int(part) for part in shape_text.split(",")) if shape_text or not colon else ()
    except ValueError:
        shape = (0,)
    is_name = all(part.isidentifier() or part.isdecimal() for part in name.split(".")) and not name[:1].isdecimal()
    is_shape = all(1 <= side <= MAX_SIDE for side in shape) and math.prod(shape) <= MAX_VALUES
    if not is_shape or (colon and kind not in KINDS) or (equals and not is_name):
        raise InputError(
            "--input: expected the shape of one image, channels,height,width such as 3,224,224, of another tensor such "
            f"as 640, of another type ({', '.join(KINDS)}) such as 16:int, of one number an image such as :int, or a "
            f"named argument such as mask=16:bool, found {text!r}"
        )
    return InputText(shape, kind or "float", name)


def image_shape(inputs: Sequence[InputText]) -> tuple[int, int, int]:
    """Return the shape of the one image that an architecture takes.

    Raises:
        InputError: There is no input, or something else than one image.
    """
    require(inputs)
    if len(inputs) > 1 or not inputs[0].is_image:
        found = " and ".join(",".join(map(str, entry.shape)) for entry in inputs)
        raise InputError(
            f"--input: expected channels,height,width such as 3,224,224 for an architecture, found {found}"
        )
    channels, height, width = inputs[0].shape
    return channels, height, width


def require(inputs: Sequence[InputText]) -> None:
    """Refuse a network without inputs.

    Raises:
        InputError: There is none.
    """
    if not inputs:
        raise InputError("--input: expected the shape of one image such as 3,224,224, found none")


def parse_model_args(texts: Sequence[str]) -> dict[str, object]:
    """Read `img_size=96`, or several with commas between them; a value is a Python literal or a plain word.

    Raises:
        InputError: A text is no such list.
    """
    arguments: dict[str, object] = {}
    for text in texts:
        try:
            call = ast.parse(f"f({text})", mode="eval").body
            is_call = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and not call.args
            if not isinstance(call, ast.Call) or not is_call or any(entry.arg is None for entry in call.keywords):
                raise ValueError  # not only named arguments
            arguments |= {entry.arg or "": _value(entry.value) for entry in call.keywords}
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            raise InputError(
                f"--model-args: expected NAME=VALUE such as img_size=96 or pretrained_cfg=None, found {text!r}"
            ) from None
    return arguments


def _value(node: ast.expr) -> object:
    if isinstance(node, ast.Name) and re.fullmatch("true|false|none", node.id):
        return {"true": True, "false": False, "none": None}[node.id]
    return node.id if isinstance(node, ast.Name) else ast.literal_eval(node)
