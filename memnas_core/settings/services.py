"""The settings of the services that record a search: MLflow and DVC."""

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from memnas_core.settings.kinds import STRICT, TRACKING_SCHEMES


@dataclass(frozen=True, slots=True, config=STRICT)
class TrackingSettings:
    """Where MLflow writes.

    Attributes:
        uri: MLflow tracking URI; null: an SQLite file in the store.
        experiment: Name of the MLflow experiment; the names of registered models begin with it.
    """

    uri: str | None
    experiment: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _uri_is_known(self) -> Self:
        try:
            scheme = "" if self.uri is None else urlsplit(self.uri).scheme.partition("+")[0]  # postgresql+psycopg2
        except ValueError as error:
            raise ValueError(f"uri: expected a URI, found none: {error}") from None
        if scheme not in TRACKING_SCHEMES:
            known = ", ".join(sorted(filter(None, TRACKING_SCHEMES)))
            raise ValueError(f'uri: expected null, a folder, or a URI of {known}, found "{scheme}:"')
        return self


@dataclass(frozen=True, slots=True, config=STRICT)
class VersioningSettings:
    """Where DVC keeps a second copy of its versions.

    Attributes:
        remote: URL of a DVC remote (`s3://bucket/path`, a folder) that gets the data and every round; null: none.
            Keys and addresses of servers stay out of settings: for S3, DVC takes them from AWS's own variables and
            files.
    """

    remote: Annotated[str, Field(min_length=1)] | None
