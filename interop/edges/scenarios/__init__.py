"""One file per scenario, each a coroutine `run(stage)`; the order here is the order they run in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interop.edges.scenarios import (
    bad_input,
    big_messages,
    bindings,
    channels,
    connect_cycles,
    flood,
    half_open,
    idle_connections,
    stuck_consumer,
    trickle,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from interop.edges.stage import Stage

SCENARIOS: dict[str, Callable[[Stage], Awaitable[None]]] = {
    "idle-connections": idle_connections.run,
    "channels": channels.run,
    "bindings": bindings.run,
    "big-messages": big_messages.run,
    "connect-cycles": connect_cycles.run,
    "stuck-consumer": stuck_consumer.run,
    "flood": flood.run,
    "trickle": trickle.run,
    "half-open": half_open.run,
    "bad-input": bad_input.run,
}
