"""The ``amqpbroker`` command."""

from __future__ import annotations

from amqpbroker.allocator import use_c_allocator


def main() -> None:
    """Run the ``amqpbroker`` command; imports little before it is sure to stay."""
    use_c_allocator()
    from amqpbroker.cli import app

    app.main()


__all__ = ["main"]
