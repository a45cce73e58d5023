"""From what was received in one step to lines that compare equal when the client sees the same.

What is legitimately free is normalised and nothing else: names that the broker makes up become
numbered placeholders, the order between the streams of different consumers on one channel is
dropped (with it their delivery tags), coalesced confirms are expanded into sets, times that the
broker takes from its clock become ``now``, and server properties are left out.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from interop.differential import codec

if TYPE_CHECKING:
    from interop.differential.client import Received
    from interop.differential.session import Peer, Session

NOW_SPAN_S: Final = 900
"""A time nearer to now than this is the broker's clock; programs use times long past."""

_GENERATED: Final = (
    ("queue", re.compile(r"amq\.gen-[A-Za-z0-9_-]{22}")),
    ("tag", re.compile(r"amq\.ctag-[A-Za-z0-9_-]{22}")),
    ("reply", re.compile(r"amq\.rabbitmq\.reply-to\.[^\s'\"]+")),
)
_LINE_BREAK: Final = re.compile(r"\n +")
"""Where Erlang's pretty printer broke a long term in a reply text."""
_STREAMED: Final = {
    "basic.consume-ok": "consumer_tag",
    "basic.cancel-ok": "consumer_tag",
    "basic.deliver": "consumer_tag",
}
_LEFT_OUT: Final = {
    "connection.start": ("server_properties", "mechanisms"),
    "bad-frame": ("error",),
}


@dataclass
class ChannelStep:
    """What one channel received in one step, sorted into what is ordered and what is not."""

    replies: list[str] = field(default_factory=list)
    streams: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    sources: set[str] = field(default_factory=set)
    tags: list[int] = field(default_factory=list)
    acked: list[int] = field(default_factory=list)
    nacked: list[int] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    is_closed: bool = False


class Renderer:
    """Turns one session's receptions into lines, remembering the names it has replaced.

    ``is_summed``: compare the queues' counts only as a sum (which queue a hashing exchange
    chooses is the broker's business).
    """

    def __init__(self, session: Session, *, is_summed: bool = False) -> None:
        self.session = session
        self.is_summed = is_summed

    def step_lines(self, state: dict[str, str], *, is_burst: bool = False) -> list[str]:
        """Return the lines of the step just done, and clear what was received.

        ``is_burst``: several ops were sent at once. If that kills a connection, what its channels
        answered before is left out: RabbitMQ may lose it on the way to the socket.
        """
        lines: list[str] = []
        for number, peer in sorted(self.session.peers.items()):
            lines += self._peer_lines(number, peer, is_burst)
            peer.received.clear()
        states = sorted(self.clean(f"{key}: {answer}") for key, answer in state.items())
        return [*map(_without_count, lines), *_summed(states)] if self.is_summed else lines + states

    def clean(self, text: str) -> str:
        """Return text with the program's prefix and generated names replaced."""
        for kind, pattern in _GENERATED:
            text = pattern.sub(partial(self._placeholder, kind), text)
        text = text.replace(f"vhost '{self.session.endpoint.vhost}'", "vhost '$vhost'")
        return text.replace(self.session.prefix, "~")

    def _placeholder(self, kind: str, match: re.Match[str]) -> str:
        name = match[0]
        self.session.learn(kind, name)
        return f"${kind}{self.session.seen[kind].index(name)}"

    def _peer_lines(self, number: int, peer: Peer, is_burst: bool) -> list[str]:
        steps: dict[int, ChannelStep] = defaultdict(ChannelStep)
        for channel, received in peer.received:
            self._sort(steps[channel], received)
        is_dead = not peer.wire.is_open and bool(peer.received)
        lines = []
        for channel, step in sorted(steps.items()):
            if channel and is_dead and is_burst:
                continue
            where = f"c{number}.{channel}"
            lines += [f"{where} {line}" for line in self._channel_lines(step, is_dead)]
            if len(step.sources) > 1:
                peer.channel(channel).is_interleaved = True
        return lines

    def _sort(self, step: ChannelStep, received: Received) -> None:
        name = received.name
        if name in ("basic.ack", "basic.nack"):
            self._confirm(step, received)
        elif name == "basic.cancel":
            step.cancelled.append(self.render(received))
        elif name in _STREAMED:
            tag = received.args["consumer_tag"]
            self._note_source(step, received, tag)
            step.streams[tag].append(self.render(received))
        else:
            self._note_source(step, received, "get")
            step.replies.append(self._reply(received))
            step.is_closed = step.is_closed or name == "channel.close"

    @staticmethod
    def _note_source(step: ChannelStep, received: Received, source: str) -> None:
        if received.name in ("basic.deliver", "basic.get-ok"):
            step.sources.add(source)
            step.tags.append(received.args["delivery_tag"])

    def _reply(self, received: Received) -> str:
        text = self.render(received)
        if received.is_interleaved:
            text = re.sub(r"unknown delivery tag \d+", "unknown delivery tag *", text)
        return f"{text} AFTER ITS CONFIRM" if received.is_late else text

    @staticmethod
    def _confirm(step: ChannelStep, received: Received) -> None:
        args = received.args
        if args["numbers"] is None:
            tag, is_multiple = args["delivery_tag"], args["multiple"]
            step.replies.append(f"{received.name} of no outstanding tag {tag} {is_multiple}")
            return
        (step.acked if received.name == "basic.ack" else step.nacked).extend(args["numbers"])

    def _channel_lines(self, step: ChannelStep, is_dead: bool) -> list[str]:
        lines = list(step.replies)
        if is_dead or step.is_closed:
            return [self._masked(line) if len(step.sources) > 1 else line for line in lines]
        is_mixed = len(step.sources) > 1
        for stream in sorted(step.streams.values(), key=lambda each: self._order(each[0])):
            lines += stream
        if is_mixed:
            lines = [self._masked(line) for line in lines]
            lines.append(f"delivery tags {sorted(step.tags)}")
        lines += sorted(step.cancelled)
        lines += [f"acked {sorted(step.acked)}"] if step.acked else []
        lines += [f"nacked {sorted(step.nacked)}"] if step.nacked else []
        return lines

    @staticmethod
    def _order(line: str) -> str:
        return re.sub(r"^\S+ ", "", line)

    @staticmethod
    def _masked(line: str) -> str:
        return re.sub(r"delivery_tag=\d+", "delivery_tag=*", line)

    def render(self, received: Received) -> str:
        """Return a method with its content as one line."""
        left_out = _LEFT_OUT.get(received.name, ())
        args = [f"{k}={quote(v)}" for k, v in received.args.items() if k not in left_out]
        text = " ".join([received.name, *args])
        if received.name in codec.CONTENT_METHODS:
            text += f" {render_properties(received.raw_properties)} {render_body(received)}"
        return self.clean(text)


def _without_count(line: str) -> str:
    return re.sub(r"message_count=\d+", "message_count=*", line)


def _summed(states: list[str]) -> list[str]:
    counts = [int(match[1]) for each in states if (match := re.search(r"ready=(\d+)", each))]
    kept = [re.sub(r"ready=\d+", "ready=*", each) for each in states]
    return [*kept, f"ready in all queues: {sum(counts)}"]


def render_body(received: Received) -> str:
    """Return size, frame sizes and digest of a body."""
    body = received.body
    sizes = received.body_frame_sizes
    head = body[:12].split(b":")[0].decode("latin-1")
    digest = hashlib.sha256(body).hexdigest()[:8]
    return f"body(id={head} size={len(body)} frames={sizes} {digest})"


def render_properties(raw: bytes) -> str:
    """Return properties with types and order; also as hex if decoding lost anything."""
    try:
        properties = codec.decode_properties(raw)
        is_exact = codec.encode_properties(properties) == raw
    except (codec.CodecError, ValueError) as error:
        return f"properties(undecodable {raw.hex()}: {error})"
    parts = [f"{name}={_render_property(name, value)}" for name, value in properties]
    return f"properties({' '.join(parts)}{'' if is_exact else ' raw ' + raw.hex()})"


def _render_property(name: str, value: Any) -> str:
    return render_value("F", value) if name == "headers" else quote(value)


def render_value(kind: str, value: Any) -> str:
    """Return a table value with its type."""
    if kind == "F":
        inner = ", ".join(f"{name}:{render_value(k, v)}" for name, k, v in value)
        return f"{{{inner}}}"
    if kind == "A":
        return f"[{', '.join(render_value(k, v) for k, v in value)}]"
    if kind == "T" and abs(value - time.time()) < NOW_SPAN_S:
        return "T:now"
    return f"{kind}:{quote(value)}"


def quote(value: Any) -> str:
    """Return a value as text, strings in quotes and on one line."""
    if not isinstance(value, str):
        return repr(value)
    text = _LINE_BREAK.sub("", value)
    return "'" + text.replace("\\", "\\\\").replace("\r", "\\r").replace("\n", "\\n") + "'"
