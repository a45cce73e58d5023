"""A logged-in client that sends any methods and contents: no handler may fail with 541.

The input is a row of frames, as ``kind u8, channel u8, size u16, payload``; sizes and ends are put
right, so that most of it gets past the framing.
"""

from __future__ import annotations

import logging
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from amqpbroker.auth.sasl.mechanism import Peer
from amqpbroker.broker.broker import Broker
from amqpbroker.broker.session import Session
from amqpbroker.config import Config
from amqpbroker.wire import methods as m
from amqpbroker.wire.codec import encode_method
from amqpbroker.wire.constants import PROTOCOL_HEADER
from amqpbroker.wire.table import Field
from interop.fuzz.targets.wire import CHANNELS, PUBLISH, START_OK, content

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

    from amqpbroker.wire.codec import Method

CONFIG: Final = Config(is_memory=True, message_size_max=1 << 20)
LOGIN: Final = b"".join(
    (
        PROTOCOL_HEADER,
        encode_method(0, START_OK),
        encode_method(0, m.ConnectionTuneOk(2047, 131072, 0)),
        encode_method(0, m.ConnectionOpen("/")),
        CHANNELS,
    )
)
_FRAME: Final = struct.Struct(">BBH")


class _Failures(logging.Handler):
    """Keeps what was logged as an internal error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[BaseException | None] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record.exc_info[1] if record.exc_info else None)


FAILURES: Final = _Failures()
_LOGGER: Final = logging.getLogger("amqpbroker")


def check(data: bytes) -> None:
    """Have a session handle the frames; raise what a handler did not expect."""
    with internal_errors_raised():
        _talk(b"".join(frames_in(data)))


@contextmanager
def internal_errors_raised() -> Iterator[None]:
    """Raise what is logged as an internal error meanwhile, and log nothing."""
    FAILURES.seen.clear()
    _LOGGER.addHandler(FAILURES)
    was_propagating, _LOGGER.propagate = _LOGGER.propagate, False
    try:
        yield
    finally:
        _LOGGER.removeHandler(FAILURES)
        _LOGGER.propagate = was_propagating
    for error in FAILURES.seen:
        raise AssertionError("internal error") from error


def _talk(stream: bytes) -> None:
    broker = Broker(CONFIG)
    broker.add_defaults()
    session = Session(broker, name="fuzz", peer=Peer(is_loopback=True), wake=lambda: None)
    _run(session.receive(LOGIN))
    assert len(session.channels) == 2
    broker.flush()
    session.wire.data_to_send()
    _run(session.receive(stream))
    broker.flush()
    session.wire.data_to_send()
    session.drained()
    broker.timers.fire()
    session.finish()
    broker.flush()
    assert not broker.sessions


def _run(handled: Awaitable[None]) -> None:
    """Run what never has to wait while everything is in memory."""
    step = handled.__await__()
    try:
        next(step)
    except StopIteration:
        return
    raise AssertionError("a handler waits")


def frames_in(data: bytes) -> Iterator[bytes]:
    """Yield the frames that the input describes."""
    pos = 0
    while pos + _FRAME.size <= len(data):
        kind, number, size = _FRAME.unpack_from(data, pos)
        payload = data[pos + _FRAME.size : pos + _FRAME.size + size]
        yield struct.pack(">BHI", kind, number, len(payload)) + payload + b"\xce"
        pos += _FRAME.size + size


def described(stream: bytes) -> bytes:
    """Return the input that describes the frames in ``stream``."""
    parts, pos = [], 0
    while pos < len(stream):
        kind, number, size = struct.unpack_from(">BHI", stream, pos)
        parts.append(_FRAME.pack(kind, number, size) + stream[pos + 7 : pos + 7 + size])
        pos += size + 8
    return b"".join(parts)


def _calls(*methods: Method) -> bytes:
    return b"".join(encode_method(1, method) for method in methods)


_ARGUMENTS: Final = {
    "x-message-ttl": Field("I", 60_000),
    "x-max-length": Field("I", 2),
    "x-overflow": Field("S", b"reject-publish"),
    "x-dead-letter-exchange": Field("S", b"amq.fanout"),
    "x-max-priority": Field("B", 5),
}
_DECLARE: Final = m.QueueDeclare(0, "q", False, False, False, False, False, {})
_CONSUME: Final = m.BasicConsume(0, "q", "tag", False, False, False, False, {})
_BODY: Final = content(1, b"\x00\x00", b"body")
_DELAYED: Final = b"\x20\x00\x00\x00\x00\x0d\x07x-delayI\x00\x00\x00\x05"
SEEDS: Final = [
    described(stream)
    for stream in (
        _calls(_DECLARE) + (PUBLISH + _BODY) * 3 + _calls(_CONSUME, m.BasicAck(1, True)),
        _calls(m.QueueDeclare(0, "q", False, True, False, False, False, _ARGUMENTS))
        + PUBLISH
        + _BODY,
        _calls(m.ExchangeDeclare(0, "x", "topic", False, True, False, False, False, {}))
        + _calls(_DECLARE, m.QueueBind(0, "q", "x", "a.#", False, {}), m.ConfirmSelect(False))
        + _calls(m.ExchangeBind(0, "amq.fanout", "x", "a.*", False, {})),
        _calls(_DECLARE, m.TxSelect())
        + PUBLISH
        + _BODY
        + _calls(m.TxCommit(), m.BasicGet(0, "q", False)),
        _calls(_DECLARE) + PUBLISH + content(1, _DELAYED, b"later"),
        _calls(_DECLARE, m.BasicQos(0, 1, True), _CONSUME)
        + PUBLISH
        + _BODY
        + _calls(m.BasicNack(1, False, True), m.BasicRecover(True), m.BasicCancel("tag", False)),
        _calls(m.ExchangeDeclare(0, "h", "headers", False, False, False, False, False, {}))
        + _calls(_DECLARE, m.QueueBind(0, "q", "h", "", False, {"x-match": Field("S", b"any")}))
        + _calls(m.QueuePurge(0, "q", False), m.QueueDelete(0, "q", False, False, False)),
        _calls(m.BasicConsume(0, "amq.rabbitmq.reply-to", "", False, True, False, False, {})),
    )
]
