"""What a vhost says of itself (FEATURES A4.12, A14.2)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class VHostMetadata:
    """Description, tags, and the type of durable queues that name none."""

    description: str = ""
    tags: tuple[str, ...] = ()
    default_queue_type: Literal["classic", "quorum", "stream"] | None = None
    """If given, such a queue shows it as its ``x-queue-type``."""

    def to_json(self) -> str:
        """Return it as the catalog keeps it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> VHostMetadata:
        """Read what ``to_json`` wrote; what is missing has its default."""
        values = json.loads(text)
        return cls(**values | {"tags": tuple(values.get("tags", ()))})
