"""The settings of what is imported at start-up (FEATURES A14.6)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, FilePath, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings


def _check_exists(path: Path) -> Path:
    if not path.exists():
        raise PydanticCustomError("path_not_there", "a file or a directory that exists")
    return path


class DefinitionsSettings(BaseSettings):
    """What ``Config`` says of definition files."""

    definitions: Annotated[Path, AfterValidator(_check_exists)] | None = None
    """RabbitMQ definitions JSON, imported at start; of a directory all files."""
    definitions_url: Annotated[str, Field(pattern=r"^https://[^/@?#]+(/|$)")] | None = Field(
        default=None, repr=False
    )
    """The same from a server, trusted as ``definitions_tls_*`` says."""
    definitions_tls_ca: FilePath | None = None
    definitions_tls_cert: FilePath | None = None
    definitions_tls_key: FilePath | None = None
    definitions_tls_verify: bool = True
    definitions_timeout_s: float = Field(default=60.0, gt=0)
    definitions_skip_if_unchanged: bool = False
    """Import nothing if the last import was of the same bytes."""

    @property
    def has_definitions(self) -> bool:
        """Whether something is imported at start."""
        return self.definitions is not None or self.definitions_url is not None

    @model_validator(mode="after")
    def _come_from_one_place(self) -> Self:
        if self.definitions is not None and self.definitions_url is not None:
            raise ValueError("definitions and definitions_url: expected one of them")
        return self
