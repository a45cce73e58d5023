"""The client libraries without (whole) type information, imported in one place."""

from __future__ import annotations

from typing import Any

import amqp  # type: ignore[import-untyped]
import kombu as untyped_kombu
import pika  # type: ignore[import-untyped]
import pika.exceptions  # type: ignore[import-untyped]

__all__ = ["amqp", "kombu", "pika"]

kombu: Any = untyped_kombu
