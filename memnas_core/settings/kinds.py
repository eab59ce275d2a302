"""Kinds of values that settings have, each with its check; `memnas_core.settings.schema` says which key has which."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, PlainValidator
from pydantic_core import PydanticCustomError, PydanticKnownError

from memnas_core.registry import imported
from memnas_core.space.operations import OPERATIONS, Operation

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
"""What every section of the settings holds to: no unknown keys, no conversions, finite numbers."""

Fraction = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(gt=0, le=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
PositiveInt = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]


def _whole(value: object) -> object:
    if type(value) is not int:  # true and 4.0 would pass as 1 and 4
        raise PydanticKnownError("int_type")
    return value


Stride = Annotated[Literal[1, 2], BeforeValidator(_whole)]
ElementBytes = Annotated[Literal[1, 2, 4], BeforeValidator(_whole)]


def _Named(place: str) -> AfterValidator:  # noqa: N802 -- stands for a type
    """Return a check that a name is in a table, which is imported when a setting is read.

    Args:
        place: The table, as `package.module:attribute`.
    """

    def check(name: str) -> str:
        return _one_of(name, imported(place))

    return AfterValidator(check)


def _one_of(name: str, names: object) -> str:
    assert isinstance(names, Iterable), "a table of names"
    if name in names:
        return name
    *others, last = (f"'{known}'" for known in names)
    raise PydanticKnownError("literal_error", {"expected": f"{', '.join(others)} or {last}"})


def _floor(value: object) -> object:
    """Return a floor as it is used: null, auto or a float."""
    if value is None or value == "auto":
        return value
    if type(value) in (int, float) and isinstance(value, int | float) and 0 <= value < 1:
        return float(value)
    raise PydanticCustomError("accuracy_floor", "auto, null, or a number of at least 0 and below 1")


AccuracyFloor = Annotated[float | Literal["auto"] | None, PlainValidator(_floor)]
OperationName = Annotated[Operation, PlainValidator(lambda name: OPERATIONS[_one_of(name, OPERATIONS)])]

FilePath = Annotated[str, Field(pattern="^[^\\x00]+$")]
Side = Annotated[int, Field(ge=1, le=8192)]

Rungs = Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]

TRACKING_SCHEMES = frozenset(("", "databricks", "file", "http", "https", "mssql", "mysql", "postgresql", "sqlite"))
"""URI schemes that MLflow can write to; a URI without a scheme is a folder."""

DatasetName = Annotated[str, _Named("memnas_core.data.source:DATASETS")]
ActivationConvention = Annotated[str, _Named("memnas_core.memory.conventions:CONVENTIONS")]
ControllerVersion = Annotated[str, _Named("memnas_core.controller.interface:CONTROLLERS")]
ControllerTarget = Literal["accuracy", "metric"]
AccuracyMeasure = Literal["plain", "balanced"]
Moves = Literal["grow_and_trim", "grow"]
Selection = Literal["controller", "random"]
Choice = Literal["measured", "controller"]
Aim = Annotated[str, _Named("memnas_core.search.aim:AIMS")]
StartingWeights = Literal["base", "fresh"]
Device = Literal["auto", "cpu", "cuda"]
Runner = Literal["processes", "ray"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
Resize = Literal["center_crop", "squash", "letterbox"]
