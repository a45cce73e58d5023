"""The ``amqpbroker`` command."""

from __future__ import annotations

from amqpbroker.cli.app import main

__all__ = ["main"]
