"""``python -m amqpbroker``: the same as the ``amqpbroker`` command."""

from __future__ import annotations

from amqpbroker.cli import main

if __name__ == "__main__":
    main()
