"""A memory budget of five bodies, and a backlog that is far beyond it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.amqp_bytes import TypedTable

LIMIT = 5000
BODIES = [b"<%03d>" % number * 200 for number in range(100)]
TO_GRAVE: TypedTable = {
    "x-dead-letter-exchange": ("S", ""),
    "x-dead-letter-routing-key": ("S", "grave"),
}
