"""A client in memory: its connection and channels, as frames, and what it tells the model.

What the broker sends is looked at when it is sent, whatever the client is waiting for. So the model
sees everything in the order in which the broker did it. A client that has hung up still looks: what
it would have got, the broker believes to have delivered.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeAlias, TypeVar

from amqpbroker.wire import methods as m
from amqpbroker.wire.codec import Method, encode_method
from amqpbroker.wire.table import Field
from interop.simulation.content import (
    FRAME,
    HEADER,
    HEADER_FRAME,
    METHOD_FRAME,
    Content,
    content_frames,
    received_method,
)
from interop.simulation.things import Message, Party, Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from amqpbroker.testing.streams import MemoryStream
    from interop.simulation.knowledge import Mark
    from interop.simulation.model import Model
    from interop.simulation.things import Copy, Outcome
    from interop.simulation.topology import QueueSpec

MethodT = TypeVar("MethodT", bound=Method)

LOGIN: Final = b"\0guest\0guest"
CAPABILITIES: Final = {
    "capabilities": Field(
        "F", {"consumer_cancel_notify": Field("t", True), "basic.nack": Field("t", True)}
    )
}
WITH_CONTENT: Final = frozenset({m.BasicDeliver, m.BasicGetOk, m.BasicReturn})
IGNORED: Final = frozenset(
    {m.ConnectionStart, m.ConnectionTune, m.ConnectionBlocked, m.ConnectionUnblocked}
)
HANDSHAKE: Final = b"AMQP\0\0\x09\1" + b"".join(
    encode_method(0, method)
    for method in (
        m.ConnectionStartOk(CAPABILITIES, "PLAIN", LOGIN, "en_US"),
        m.ConnectionTuneOk(2047, 131072, 0),
        m.ConnectionOpen("/"),
    )
)
"""Everything that a client says, without waiting for the questions."""
FORCED: Final = 320
INFINITY: Final = float("inf")
NOT_FOUND: Final = 404
INTERNAL_ERROR: Final = 541
PARTIAL_COMMIT: Final = "PRECONDITION_FAILED - partial tx completion"


class Lost(Exception):
    """The connection or the channel is no more."""


class Target(NamedTuple):
    """Where messages are published to, and the queues that they come to."""

    exchange: str
    key: str
    queues: Sequence[QueueSpec]

    def __str__(self) -> str:
        return f"to {self.exchange or self.key}"


class Consumer:
    """A subscription."""

    __slots__ = ("is_lent", "place")

    def __init__(self, place: str, *, is_lent: bool) -> None:
        self.place = place
        self.is_lent = is_lent


class ChannelState:
    """What comes in on a channel and what follows; ``party`` is what the model calls it."""

    def __init__(self, connection: Connection, number: int, mode: str) -> None:
        self.connection = connection
        self.number = number
        self.mode = mode
        self.party = Party(f"{connection.name}.{number}", is_transactional=mode == "tx")
        self.consumers: dict[str, Consumer] = {}
        self.unsettled: dict[int, tuple[Copy, str]] = {}
        """Tag → copy and place."""
        self.outstanding: dict[int, tuple[Message, Mark]] = {}
        """Number of a publish → message, while it waits for its confirm."""
        self.published_count = 0
        self.is_open = True
        self.is_released = False
        self.is_probe = self.was_missing = False
        """It asks for something that should not be there; it was not."""
        self._pending: dict[int, tuple[Copy, str]] = {}
        """Settled in the transaction."""
        self._progress: asyncio.Future[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._awaited: tuple[type[Method], ...] = ()
        self._awaited_count = 0
        self._mark = self.connection.model.knowledge.mark(self.party)
        self.answers: list[Method] = []
        """To what was asked last."""
        self._getting: Consumer | None = None
        self.content: Content | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether the broker owes it an answer or a confirm."""
        return self.is_open and (self._waiter is not None or bool(self.outstanding))

    def release(self) -> None:
        """Expect nothing to be on loan here any more: a close, or worse, is on its way."""
        self.is_released = self.party.is_over = True
        for copy, _ in (*self.unsettled.values(), *self._pending.values()):
            copy.loan = None
        self.unsettled.clear()
        self._pending.clear()

    def over(self) -> None:
        """The channel is gone."""
        self.is_open = False
        self.outstanding.clear()
        self._progressed()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(Lost())
            self._waiter = None

    def method(self, method: Method) -> None:
        """Act on a method of the broker."""
        kind = type(method)
        if not self.is_open and not self.connection.is_over:
            raise Violation(f"{self.party}: {method} after the channel was closed")
        self.connection.trace("%s < %s", self.party, method)
        if kind is m.BasicAck or kind is m.BasicNack:
            self._confirm(method)  # type: ignore[arg-type]
        elif kind is m.ChannelClose:
            self._closed(method)  # type: ignore[arg-type]
        elif kind is m.BasicCancel:
            self.consumers.pop(method.consumer_tag, None)  # type: ignore[attr-defined]
        else:
            self._answer(method)

    def _answer(self, method: Method) -> None:
        if self.connection.is_over:
            return
        waiter = self._waiter
        if waiter is None or not isinstance(method, self._awaited):
            raise Violation(f"{self.party}: unexpected {method}")
        self.answers.append(method)
        if len(self.answers) == self._awaited_count:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def _closed(self, method: m.ChannelClose) -> None:
        if self.connection.is_over:
            return
        self.release()
        self.connection.write(encode_method(self.number, m.ChannelCloseOk()))
        self.over()
        text = method.reply_text
        if self.is_probe and method.reply_code == NOT_FOUND:
            self.was_missing = True
            return
        if method.reply_code != INTERNAL_ERROR and text != PARTIAL_COMMIT:
            raise Violation(f"{self.party}: closed, {method.reply_code} {text}")
        self.connection.complain(method.reply_code, text)

    def _confirm(self, method: m.BasicAck | m.BasicNack) -> None:
        if self.connection.is_over:
            return
        model = self.connection.model
        tag = method.delivery_tag
        numbers = [tag]
        if method.multiple:
            numbers = [number for number in self.outstanding if number <= tag]
        for number in numbers:
            found = self.outstanding.pop(number, None)
            if found is None:
                raise Violation(f"{self.party}: confirm of {number}, which is not outstanding")
            message, mark = found
            if type(method) is m.BasicAck:
                model.confirm(message, self.party, mark)
            else:
                model.refuse(message, self.party, mark)
        self._progressed()
        self.connection.witness.answered()

    def _progressed(self) -> None:
        if self._progress is not None and not self._progress.done():
            self._progress.set_result(None)

    def delivered(self, method: Method, body: bytes) -> None:
        """Act on a method with content."""
        if isinstance(method, m.BasicDeliver):
            consumer = self.consumers.get(method.consumer_tag)
            if consumer is None and self.connection.is_over:
                return
            if consumer is None:
                raise Violation(f"{self.party}: delivery to {method.consumer_tag}, which is gone")
            self._take(consumer, method, body)
        elif isinstance(method, m.BasicGetOk):
            assert self._getting is not None
            self._take(self._getting, method, body)
            self._answer(method)

    def _take(self, consumer: Consumer, method: m.BasicDeliver | m.BasicGetOk, body: bytes) -> None:
        connection = self.connection
        place = consumer.place
        copy = connection.model.find(body, place)
        name = method.consumer_tag if isinstance(method, m.BasicDeliver) else "get"
        if connection.is_traced:
            again = " again" if method.redelivered else ""
            late = " too late" if self.is_released else ""
            text = "%s < %d %s from %s by %s%s%s"
            connection.trace(text, self.party, method.delivery_tag, copy, place, name, again, late)
        is_held = consumer.is_lent and not self.is_released
        connection.model.deliver(
            copy,
            place,
            self.party,
            redelivered=method.redelivered,
            name=name,
            fate="lent" if is_held else "missed" if consumer.is_lent else "settled",
        )
        if is_held:
            self.unsettled[method.delivery_tag] = copy, place


class Channel(ChannelState):
    """One channel: what its client does."""

    def send(self, method: Method) -> None:
        """Send a method."""
        if not self.is_open or self.connection.is_over:
            raise Lost
        self.connection.trace("%s > %s", self.party, method)
        self.connection.write(encode_method(self.number, method))

    async def call(self, method: Method, *answers: type[MethodT]) -> MethodT:
        """Send a method and return the answer, which is one of ``answers``."""
        (answer,) = await self.calls([method], answers)
        return answer

    async def calls(
        self, methods: Sequence[Method], answers: tuple[type[MethodT], ...]
    ) -> Sequence[MethodT]:
        """Send methods in one go; return their answers, all of them one of ``answers``."""
        self.ask(methods, answers)
        return await self.answered()  # type: ignore[return-value]

    def ask(self, methods: Sequence[Method], answers: tuple[type[Method], ...]) -> None:
        """Send methods whose answers are to be fetched by ``answered``."""
        self._mark = self.connection.model.knowledge.mark(self.party)
        for method in methods:
            self.send(method)
        self._awaited, self._awaited_count, self.answers = answers, len(methods), []
        self._waiter = asyncio.get_running_loop().create_future()

    async def answered(self) -> Sequence[Method]:
        """Return the answers to what was asked."""
        assert self._waiter is not None
        await self._waiter
        self.connection.model.knowledge.handle(self.party, self._mark)
        return self.answers

    def publish(self, target: Target, messages: Sequence[Message], properties: bytes) -> None:
        """Publish messages that share all but the body; they are sent as one piece."""
        model = self.connection.model
        for message in messages:
            self.published_count += 1
            if self.mode == "confirm":
                self.outstanding[self.published_count] = (message, model.knowledge.mark(self.party))
            model.publish(message, target.queues, self.party.transaction)
        if not self.is_open or self.connection.is_over:
            raise Lost
        self.connection.trace("%s > publish %s %s", self.party, target, messages)
        frames = [content_frames(self.number, target, properties, item.body) for item in messages]
        self.connection.write(b"".join(frames))

    def settle(self, tag: int, outcome: Outcome, *, multiple: bool, is_reject: bool) -> None:
        """Settle a delivery, or all up to it."""
        tags = [other for other in self.unsettled if other <= tag] if multiple else [tag]
        if outcome == "ack":
            method: Method = m.BasicAck(tag, multiple)
        elif is_reject:
            method = m.BasicReject(tag, outcome == "requeue")
        else:
            method = m.BasicNack(tag, multiple, outcome == "requeue")
        model = self.connection.model
        for settled in sorted(tags):
            copy, place = self.unsettled.pop(settled)
            model.settle(self.party, copy, place, outcome)
            if self.mode == "tx":
                self._pending[settled] = copy, place
        self.send(method)

    async def consume(self, spec: QueueSpec, tag: str, *, no_ack: bool) -> None:
        """Start a consumer."""
        self.consumers[tag] = Consumer(spec.name, is_lent=not no_ack)
        method = m.BasicConsume(0, spec.name, tag, False, no_ack, False, False, {})
        await self.call(method, m.BasicConsumeOk)

    async def confirmed(self) -> None:
        """Return when everything published is confirmed."""
        while self.outstanding and self.is_open:
            self._progress = asyncio.get_running_loop().create_future()
            await self._progress

    async def cancel(self, tag: str) -> None:
        """End a consumer."""
        await self.call(m.BasicCancel(tag, False), m.BasicCancelOk)
        self.consumers.pop(tag, None)

    async def get(self, spec: QueueSpec, *, no_ack: bool = False) -> bool:
        """Fetch a message; return whether there was one."""
        self._getting = Consumer(spec.name, is_lent=not no_ack)
        answer = await self.call(m.BasicGet(0, spec.name, no_ack), m.BasicGetOk, m.BasicGetEmpty)
        return type(answer) is m.BasicGetOk

    async def commit(self) -> None:
        """Commit the transaction."""
        model = self.connection.model
        mark = model.knowledge.mark(self.party)
        transaction = model.commit(self.party)
        self._pending.clear()
        await self.call(m.TxCommit(), m.TxCommitOk)
        model.committed(transaction, mark)
        self.connection.witness.answered()

    async def roll_back(self) -> None:
        """Forget the transaction; what it would have settled is unsettled again."""
        self.connection.model.roll_back(self.party)
        pending, self._pending = self._pending, {}
        await self.call(m.TxRollback(), m.TxRollbackOk)
        self.unsettled |= pending

    async def recover(self) -> None:
        """Give back all that is unsettled; the channel stays."""
        for copy, _ in self.unsettled.values():
            copy.loan = None
        self.unsettled.clear()
        await self.call(m.BasicRecover(True), m.BasicRecoverOk)

    async def declare(self, spec: QueueSpec, *, passive: bool = False) -> int:
        """Declare a queue, or look at it; return how many messages are ready there."""
        return (await self.call(declare(spec, passive=passive), m.QueueDeclareOk)).message_count

    async def is_missing(self, spec: QueueSpec) -> bool:
        """Return whether a queue is not there; the channel can be used for nothing else."""
        self.is_probe = True
        try:
            await self.declare(spec, passive=True)
        except Lost:
            if not self.was_missing:
                raise
        return self.was_missing

    async def purge(self, spec: QueueSpec) -> None:
        """Drop what is ready in a queue."""
        self.connection.model.purge(spec)
        await self.call(m.QueuePurge(0, spec.name, False), m.QueuePurgeOk)
        self.connection.model.purged(spec)

    async def close(self) -> None:
        """Close; what is unsettled goes back."""
        self.release()
        await self.call(m.ChannelClose(200, "", 0, 0), m.ChannelCloseOk)
        self.over()


def declare(spec: QueueSpec, *, passive: bool = False) -> m.QueueDeclare:
    """Return the method."""
    arguments = {} if passive else spec.arguments
    return m.QueueDeclare(0, spec.name, passive, spec.is_durable, False, False, False, arguments)


class Witness(Protocol):
    """Who listens to what connections have to say."""

    is_traced: bool

    def trace(self, text: str, *arguments: object) -> None:
        """Write down what happens."""

    def complain(self, code: int, text: str) -> None:
        """The broker has closed something that it should not close for no reason."""

    def accuse(self, violation: Violation) -> None:
        """The broker broke its word."""

    def answered(self) -> None:
        """The broker has said that something is durable."""

    def is_down(self) -> bool:
        """Whether the broker died, and sends nothing however it looks."""


Connect: TypeAlias = "Callable[[Callable[[bytes], None]], MemoryStream]"


class Connection:
    """One connection, from ``open`` to ``cut``."""

    def __init__(self, name: str, model: Model, witness: Witness, connect: Connect) -> None:
        self.name = name
        self.model = model
        self.trace = witness.trace
        self.is_traced = witness.is_traced
        self.complain = witness.complain
        self.witness = witness
        self._connect = connect
        self.channels: dict[int, Channel] = {}
        self.is_over = False
        self._stream: MemoryStream | None = None
        self._buffer = b""
        self._waiter: asyncio.Future[Method] | None = None

    async def open(self) -> None:
        """Log in, without waiting for what is offered."""
        self._stream = self._connect(self._receive)
        self._stream.on_end = self.lost
        self.write(HANDSHAKE)
        await self._answered()

    async def channel(self, mode: str, prefetch_count: int = 0) -> Channel:
        """Open a channel; ``mode`` is plain, confirm or tx."""
        number = len(self.channels) + 1
        channel = self.channels[number] = Channel(self, number, mode)
        methods: list[Method] = [m.ChannelOpen(), m.BasicQos(0, prefetch_count, False)]
        if mode == "confirm":
            methods.append(m.ConfirmSelect(False))
        elif mode == "tx":
            methods.append(m.TxSelect())
        await channel.calls(
            methods, (m.ChannelOpenOk, m.BasicQosOk, m.ConfirmSelectOk, m.TxSelectOk)
        )
        return channel

    def write(self, data: bytes) -> None:
        """Send bytes."""
        if self._stream is not None:
            self._stream.write(data)

    def chunk(self, chunk_size: Callable[[int], int]) -> None:
        """Have the broker read in pieces of such sizes."""
        assert self._stream is not None
        self._stream.chunk_size = chunk_size

    async def close(self) -> None:
        """Close in the polite way."""
        for channel in self.channels.values():
            channel.release()
        self._send(m.ConnectionClose(200, "", 0, 0))
        await self._answered()
        self.lost()

    def cut(self, *, is_reset: bool) -> None:
        """Hang up; with ``is_reset`` the broker does not see what was sent last."""
        self.trace("%s cuts%s", self.name, " (reset)" if is_reset else "")
        self.lost()
        if self._stream is None:
            return
        if is_reset:
            self._stream.cut()
        else:
            self._stream.end()

    def pause(self) -> bool:
        """Read nothing more; return False if that would hide what becomes of messages.

        The broker settles what it writes to a consumer without acknowledgements, and a crash may
        lose what it has written.
        """
        channels = self.channels.values()
        if self._stream is None or any(
            not consumer.is_lent for channel in channels for consumer in channel.consumers.values()
        ):
            return False
        self._stream.pause()
        for channel in channels:
            channel.party.deaf_until = INFINITY
        return True

    def resume(self) -> None:
        """Read again."""
        assert self._stream is not None
        self._stream.resume()
        for channel in self.channels.values():
            channel.party.deaf_until = self.model.now()

    def lost(self) -> None:
        """The connection is no more: nobody waits, nothing is on loan."""
        if self.is_over:
            return
        self.is_over = True
        for channel in self.channels.values():
            if channel.is_open:
                channel.release()
            channel.over()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(Lost())

    def _send(self, method: Method) -> None:
        if self.is_over:
            raise Lost
        self.write(encode_method(0, method))

    async def _answered(self) -> Method:
        self._waiter = asyncio.get_running_loop().create_future()
        return await self._waiter

    def _receive(self, data: bytes) -> None:
        if self.witness.is_down():
            return
        try:
            self._frames(data)
        except Violation as violation:
            self.witness.accuse(violation)

    def _frames(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        pos, end = 0, len(buffer)
        while end - pos >= 8:
            kind, number, size = FRAME.unpack_from(buffer, pos)
            stop = pos + 7 + size
            if stop >= end:
                break
            self._frame(kind, number, buffer[pos + 7 : stop])
            pos = stop + 1
        self._buffer = buffer[pos:]

    def _frame(self, kind: int, number: int, payload: bytes) -> None:
        if number == 0:
            if kind == METHOD_FRAME:
                self._method(received_method(payload))
            return
        channel = self.channels.get(number)
        if channel is None:
            raise Violation(f"{self.name}: a frame of channel {number}, which is not open")
        if kind == METHOD_FRAME:
            method = received_method(payload)
            if type(method) in WITH_CONTENT:
                channel.content = Content(method)
            else:
                channel.method(method)
            return
        content = channel.content
        assert content is not None
        if kind == HEADER_FRAME:
            content.size = HEADER.unpack_from(payload)[2]
        else:
            content.body += payload
        if len(content.body) >= content.size:
            channel.content = None
            channel.delivered(content.method, content.body)

    def _method(self, method: Method) -> None:
        if self.is_over or type(method) in IGNORED:
            return
        if isinstance(method, m.ConnectionClose):
            self.trace("%s < %s", self.name, method)
            self.lost()
            self.write(encode_method(0, m.ConnectionCloseOk()))
            self.complain(method.reply_code, method.reply_text)
        elif self._waiter is None or self._waiter.done():
            raise Violation(f"{self.name}: unexpected {method}")
        else:
            self._waiter.set_result(method)
