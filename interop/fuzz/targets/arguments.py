"""Arguments of queue.declare and basic.consume, and properties: no handler may fail with 541.

The first byte chooses the type of the queue, the second how it is used. Then come the arguments of
the declare, those of the consume, and the raw properties of some messages, each behind its size
(u16). What streams do in the background is done too, and time passes.
"""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Any, Final

from amqpbroker.auth.sasl.mechanism import Peer
from amqpbroker.broker.arguments import KNOWN
from amqpbroker.broker.broker import Broker
from amqpbroker.broker.session import Session
from amqpbroker.broker.stream_arguments import FILTER, FILTER_VALUE, MATCH_UNFILTERED, OFFSET
from amqpbroker.broker.timers import Clock
from amqpbroker.wire import methods as m
from amqpbroker.wire.codec import encode_method
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.table import Field, encode_table
from interop.fuzz.targets.session import CONFIG, LOGIN, internal_errors_raised
from interop.fuzz.targets.wire import PUBLISH, content

if TYPE_CHECKING:
    from amqpbroker.wire.codec import Method
    from amqpbroker.wire.table import Table

TYPES: Final = (b"", b"classic", b"quorum", b"stream")
DAY_S: Final = 86_400.0
_MESSAGE_COUNT: Final = 3
_EMPTY: Final = b"\0\0\0\0"
_METHOD: Final = struct.Struct(">BHI")
_RUNNER: Final = asyncio.Runner()
"""Streams wait for their log, in memory too."""


def check(data: bytes) -> None:
    """Declare, publish, consume, settle, declare again; raise what a handler did not expect."""
    if len(data) < 2:
        return
    parts, rest = [], data[2:]
    for _ in range(3):
        size = int.from_bytes(rest[:2], "big")
        parts.append(rest[2 : 2 + size])
        rest = rest[2 + size :]
    with internal_errors_raised():
        _RUNNER.run(_talk(TYPES[data[0] % len(TYPES)], data[1], *parts))


async def _talk(
    kind: bytes, use: int, arguments: bytes, of_consumer: bytes, properties: bytes
) -> None:
    now = [1000.0]
    clock = Clock(lambda: now[0], lambda: 1_700_000_000_000 + int(now[0] * 1000))
    broker = Broker(CONFIG, clock=clock)
    broker.add_defaults()
    session = Session(broker, name="fuzz", peer=Peer(is_loopback=True), wake=lambda: None)
    if kind:
        arguments = encode_table({"x-queue-type": Field("S", kind)})[4:] + arguments
    is_durable, no_ack = bool(use & 1), bool(use & 2)
    declare = _with_table(
        m.QueueDeclare(0, "q", False, is_durable, False, False, False, {}), arguments
    )
    consume = _with_table(
        m.BasicConsume(0, "q", "tag", False, no_ack, bool(use & 4), False, {}), of_consumer
    )
    publish = PUBLISH + content(1, properties, b"body")
    reopen = encode_method(1, m.ChannelCloseOk()) + encode_method(1, m.ChannelOpen())
    for step in (
        LOGIN,
        declare,
        publish * _MESSAGE_COUNT,
        encode_method(1, m.BasicQos(0, 2, False)) + consume,
        publish,
        encode_method(1, m.BasicAck(1, False) if use & 16 else m.BasicNack(1, False, not use & 8)),
        declare,
    ):
        await session.receive(step)
        await _rest(broker)
        if 1 not in session.channels:
            await session.receive(reopen)
        session.wire.data_to_send()
        session.drained()
    now[0] += DAY_S
    broker.timers.fire()
    await _rest(broker)
    session.finish()
    broker.flush()
    assert not broker.sessions


async def _rest(broker: Broker) -> None:
    """End the batch, and do what streams do in the background."""
    broker.flush()
    streams = broker.streams
    while streams._jobs:
        jobs, streams._jobs = streams._jobs, []
        for job in jobs:
            await job()
    broker.flush()


def _with_table(method: Method, table: bytes) -> bytes:
    """Return the frame of a method that ends in an empty table, with any bytes as that table."""
    frame = encode_method(1, method)
    payload = frame[_METHOD.size : -1].removesuffix(_EMPTY)
    payload += struct.pack(">I", len(table)) + table
    return _METHOD.pack(1, 1, len(payload)) + payload + frame[-1:]


def described(kind: int, use: int, arguments: Table, of_consumer: Table, headers: Table) -> bytes:
    """Return the input that says this."""
    parts = (
        encode_table(arguments)[4:],
        encode_table(of_consumer)[4:],
        encode_properties({"headers": headers}),
    )
    sized = b"".join(struct.pack(">H", len(part)) + part for part in parts)
    return bytes([kind, use]) + sized


_TEXTS: Final = {
    "x-dead-letter-exchange": b"amq.fanout",
    "x-dead-letter-routing-key": b"k",
    "x-dead-letter-strategy": b"at-least-once",
    "x-overflow": b"reject-publish",
    "x-queue-mode": b"lazy",
    "x-queue-master-locator": b"random",
    "x-queue-leader-locator": b"balanced",
    "x-delayed-retry-type": b"all",
    "x-max-age": b"7D",
    "x-deduplication-header": b"key",
}
_FLAGS: Final = (
    *("x-single-active-consumer", "x-message-deduplication", "x-content-based-deduplication"),
    *("x-message-groups", "x-sticky-groups"),
)


def _good(name: str) -> Any:
    if name in _TEXTS:
        return Field("S", _TEXTS[name])
    return Field("t", True) if name in _FLAGS else Field("I", 2)


_HEADERS: Final[Table] = {
    "x-deduplication-header": Field("S", b"key"),
    "x-group-key": Field("S", b"a"),
    "x-partition-key": Field("S", b"a"),
    FILTER_VALUE: Field("S", b"red"),
}
_OFFSETS: Final = (
    *(Field("S", b"first"), Field("S", b"last"), Field("S", b"next"), Field("S", b"1h")),
    *(Field("T", 1_700_000_000), Field("l", 1), Field("V", None), Field("t", True)),
)
_FILTERS: Final = (Field("S", b"red"), Field("A", [Field("S", b"red"), Field("I", 1)]))
SEEDS: Final = [
    *(
        described(kind, use, {name: _good(name)}, {}, _HEADERS)
        for kind in (1, 2, 3)
        for use in (1, 9, 17)
        for name in KNOWN[TYPES[kind].decode()]
        if name != "x-queue-type"
    ),
    *(described(3, 17, {}, {OFFSET: offset}, _HEADERS) for offset in _OFFSETS),
    *(
        described(3, 17, {}, {FILTER: wanted, MATCH_UNFILTERED: Field("t", True)}, _HEADERS)
        for wanted in _FILTERS
    ),
    *(
        described(1, 8, {"x-delayed-retry-min": Field("I", 5), name: _good(name)}, {}, {})
        for name in KNOWN["classic"]
        if name.startswith("x-delayed-retry")
    ),
    described(0, 1, {}, {}, {"x-delay": Field("I", 5), "x-deliver-at": Field("l", 1)}),
    described(1, 1, {}, {"x-priority": Field("I", 5), "x-ack-deadline": Field("I", 500)}, {}),
]
