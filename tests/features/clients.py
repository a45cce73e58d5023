"""The client libraries without type information, imported in one place."""

from __future__ import annotations

import amqp  # type: ignore[import-untyped]
import kombu
import pika  # type: ignore[import-untyped]
import pika.exceptions  # type: ignore[import-untyped]

__all__ = ["amqp", "kombu", "pika"]
