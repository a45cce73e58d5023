"""Themes: which steps a program is made of, and how likely each is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from interop.differential.generate import misuse, quorum, special, topology, traffic
from interop.differential.generate.maker import Maker
from interop.differential.program import Program

Steps = Callable[[Maker], None]


@dataclass(frozen=True)
class Theme:
    """Weighted step makers, and how often the theme itself is taken."""

    weight: int
    makers: dict[Steps, int]
    start: Steps = topology.lay_out
    rest_ms: int = 0


_DECLARE: Final[dict[Steps, int]] = {
    topology.some_queue: 10,
    topology.same_queue: 12,
    topology.bad_queue: 12,
    topology.odd_queue: 5,
    topology.passive: 6,
    topology.some_exchange: 8,
    topology.bad_exchange: 8,
    topology.bind_queue: 8,
    topology.unbind_queue: 4,
    topology.bind_exchange: 5,
    topology.unbind_exchange: 3,
    topology.delete_queue: 5,
    topology.delete_exchange: 5,
    traffic.publish: 3,
    traffic.close_connection: 1,
}
_ROUTE: Final[dict[Steps, int]] = {
    topology.some_exchange: 8,
    topology.bind_queue: 14,
    topology.bind_exchange: 8,
    topology.unbind_queue: 2,
    topology.unbind_exchange: 2,
    topology.delete_exchange: 2,
    traffic.publish: 12,
    traffic.publish_matching: 12,
    traffic.publish_copies: 8,
    traffic.confirm_select: 1,
    traffic.get: 6,
}
_CONSUME: Final[dict[Steps, int]] = {
    topology.some_queue: 4,
    topology.delete_queue: 2,
    traffic.publish: 14,
    traffic.consume: 10,
    traffic.cancel: 4,
    traffic.get: 6,
    traffic.settle: 14,
    traffic.settle_all: 3,
    traffic.settle_badly: 2,
    traffic.qos: 5,
    traffic.recover: 4,
    traffic.close_channel: 2,
    traffic.close_connection: 1,
    traffic.flow: 1,
}
_CONFIRM: Final[dict[Steps, int]] = {
    topology.some_queue: 5,
    topology.bind_queue: 3,
    topology.delete_queue: 2,
    traffic.confirm_select: 8,
    traffic.transaction: 10,
    traffic.publish: 20,
    traffic.publish_badly: 2,
    traffic.publish_priorities: 3,
    traffic.consume: 3,
    traffic.get: 5,
    traffic.settle: 6,
    traffic.close_channel: 2,
}
_CONTENT: Final[dict[Steps, int]] = {
    traffic.publish: 6,
    traffic.publish_big: 8,
    traffic.publish_copies: 4,
    traffic.publish_badly: 5,
    traffic.publish_priorities: 3,
    traffic.consume: 5,
    traffic.get: 8,
    traffic.settle: 4,
    traffic.confirm_select: 1,
}
_REPLY: Final[dict[Steps, int]] = {
    traffic.reply_to: 16,
    traffic.get: 6,
    traffic.consume: 3,
    traffic.publish: 2,
    traffic.cancel: 2,
    traffic.close_channel: 1,
}

_MISUSE: Final[dict[Steps, int]] = {
    misuse.content_out_of_order: 8,
    misuse.bad_frame: 7,
    misuse.unknown_method: 7,
    misuse.bad_table: 4,
    misuse.bad_properties_frame: 3,
    misuse.not_utf8: 2,
    misuse.alien_method: 5,
    misuse.late_method: 5,
    misuse.unopened: 7,
    misuse.dropped_silently: 4,
    misuse.too_large: 3,
    misuse.many_channels: 1,
    misuse.handshake: 5,
    misuse.access_request: 1,
    traffic.publish: 10,
    traffic.consume: 10,
    traffic.get: 8,
    traffic.settle_badly: 2,
    traffic.flow: 2,
    topology.some_queue: 2,
}
_DEAD_LETTER: Final[dict[Steps, int]] = {
    special.publish_first: 20,
    special.reject: 18,
    traffic.get: 8,
    traffic.consume: 4,
    traffic.settle: 8,
    traffic.cancel: 3,
    traffic.confirm_select: 1,
    traffic.close_channel: 1,
    topology.delete_exchange: 1,
    topology.delete_queue: 1,
}
_EXPIRY: Final[dict[Steps, int]] = {
    special.publish_mortal: 20,
    traffic.get: 8,
    traffic.consume: 4,
    traffic.settle: 5,
    traffic.cancel: 4,
    traffic.recover: 2,
    traffic.close_channel: 1,
    traffic.confirm_select: 1,
}
_OWNERS: Final[dict[Steps, int]] = {
    special.own_queue: 14,
    special.own_exchange: 8,
    special.reconnect: 3,
    topology.unbind_queue: 4,
    topology.unbind_exchange: 3,
    topology.delete_queue: 6,
    topology.delete_exchange: 3,
    topology.passive: 3,
    topology.bind_queue: 4,
    traffic.consume: 14,
    traffic.cancel: 6,
    traffic.publish: 8,
    traffic.get: 4,
    traffic.settle: 3,
    traffic.close_channel: 5,
    traffic.close_connection: 5,
}
_HASH: Final[dict[Steps, int]] = {
    special.publish_hashed: 10,
    special.empty_hashed: 3,
    special.rebind_hashed: 4,
}

HASH: Final = "hash"
"""The theme in which only the sum over all queues is compared."""
THEMES: Final[dict[str, Theme]] = {
    "declare": Theme(5, _DECLARE),
    "route": Theme(5, _ROUTE),
    "consume": Theme(7, _CONSUME),
    "confirm": Theme(5, _CONFIRM, topology.confirm_layout),
    "content": Theme(3, _CONTENT),
    "reply": Theme(1, _REPLY),
    "mixed": Theme(4, {**_DECLARE, **_ROUTE, **_CONFIRM, **_CONSUME}),
    "misuse": Theme(4, _MISUSE),
    "dead-letter": Theme(4, _DEAD_LETTER, special.dead_letter_layout),
    "expiry": Theme(1, _EXPIRY, special.expiry_layout, special.REST_MS),
    "owners": Theme(4, _OWNERS),
    "quorum": Theme(4, quorum.STEPS, quorum.lay_out),
    HASH: Theme(1, _HASH, special.hash_layout),
}


def make_program(seed: int, index: int, step_count: int, theme: str = "") -> Program:
    """Return program ``index`` of ``seed``; of one theme if given."""
    rng = Random(f"{seed}:{index}")
    names = list(THEMES)
    drawn = rng.choices(names, [each.weight for each in THEMES.values()])[0]
    label = theme or drawn
    chosen = THEMES[label]
    make = Maker(rng, rng.choice([1, 1, 2, 3]), rng.choice([1, 2, 3]), chosen.rest_ms)
    chosen.start(make)
    makers = list(chosen.makers)
    while len(make.steps) < step_count:
        rng.choices(makers, list(chosen.makers.values()))[0](make)
    return Program(label, tuple(make.steps[:step_count]))
