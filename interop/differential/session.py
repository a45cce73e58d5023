"""One program's run against one broker: its connections, and one op after the other sent.

The text of a program is turned into bytes here (names get the program's prefix, ``$queue0``
becomes the first server-named queue), and the replies are noted as far as later ops need them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from interop.differential import codec
from interop.differential.channel import Channel
from interop.differential.client import Connection, Endpoint, NoAnswer, Received, Tuning

if TYPE_CHECKING:
    from interop.differential.program import Op, Step

PROBE_CHANNEL_MIN: Final = 1000
PROBE_CHANNEL_MAX: Final = 1999
"""Channels of the tester's own; a program never uses them."""

_FLOW: Final = codec.encode_method("channel.flow", {"active": True})


def body_of(message_id: int, size: int) -> bytes:
    """Return a body that names its message (cut to ``size`` bytes)."""
    block = hashlib.sha256(str(message_id).encode()).hexdigest().encode()
    head = f"{message_id}:".encode()
    return (head + block * (size // len(block) + 1))[:size]


class Peer:
    """A connection of the program, its channels, and what was received since the last step.

    ``is_bereft``: a channel that had deliveries has ended since the last step.
    """

    def __init__(self, endpoint: Endpoint, tuning: Tuning) -> None:
        self.channels: dict[int, Channel] = {}
        self.received: list[tuple[int, Received]] = []
        self.probed: dict[int, Received] = {}
        self.is_bereft = False
        self.wire = Connection(endpoint)
        self.wire.open(tuning)
        self._absorb()

    def channel(self, number: int) -> Channel:
        """Return the record of a channel, new if unknown."""
        return self.channels.setdefault(number, Channel())

    @property
    def may_be_probed(self) -> bool:
        """Whether channels of the tester's own leave enough to the program's."""
        return self.wire.tuning.channel_max > PROBE_CHANNEL_MAX

    def sync(self, number: int) -> None:
        """Send a channel.flow whose answer proves that all before it was handled."""
        self.channel(number).syncs_sent.append(True)
        self.wire.send(codec.encode_frame(codec.FRAME_METHOD, number, _FLOW))

    def is_due(self, number: int) -> bool:
        """Whether an answer on this channel is still to come."""
        if not self.wire.is_open:
            return False
        channel = self.channel(number)
        return bool(channel.awaited or channel.syncs_sent)

    def read(self, deadline: float) -> None:
        """Receive once and note what came; raises NoAnswer."""
        self.wire.receive(deadline)
        self._absorb()

    def _absorb(self) -> None:
        for number, received in self.wire.log:
            if PROBE_CHANNEL_MIN <= number <= PROBE_CHANNEL_MAX:
                self.probed[number] = received
                self._is_own_sync(number, received)
                self._note(number, received)
            elif not self._is_own_sync(number, received):
                self.received.append((number, received))
                self._note(number, received)
        self.wire.log.clear()

    def _is_own_sync(self, number: int, received: Received) -> bool:
        if received.name != "channel.flow-ok":
            return False
        channel = self.channel(number)
        return bool(channel.syncs_sent) and channel.syncs_sent.pop(0)

    def _note(self, number: int, received: Received) -> None:
        channel = self.channel(number)
        name = received.name
        if name in channel.awaited:
            channel.awaited.remove(name)
        if name == "channel.open-ok":
            channel.is_open = True
        elif name == "confirm.select-ok":
            channel.is_confirming = True
        elif name in ("channel.close", "channel.close-ok"):
            self.is_bereft |= channel.tag_max > 0
            received.is_interleaved = channel.is_interleaved
            self.channels[number] = Channel()
        elif name in ("connection.close", "connection.close-ok", "end-of-file"):
            self.is_bereft |= any(each.tag_max for each in self.channels.values())
        elif name == "basic.deliver" and channel.is_open:  # RabbitMQ may send one after the close
            channel.deliver(received.args["consumer_tag"], received)
        elif name == "basic.get-ok":
            channel.deliver("", received)
        elif name == "basic.get-empty" and channel.gets_sent:
            channel.gets_sent.pop(0)
        elif name == "basic.consume-ok":
            self._note_consumer(channel, received.args["consumer_tag"])
        elif name in ("basic.ack", "basic.nack"):
            args = received.args
            args["numbers"] = channel.expand_confirm(args["delivery_tag"], args["multiple"])
        elif name == "basic.return":
            received.is_late = channel.sequence_of_body.get(received.body) in channel.confirmed

    @staticmethod
    def _note_consumer(channel: Channel, tag: str) -> None:
        if tag not in channel.no_ack_tags and channel.no_ack_unnamed:
            channel.no_ack_tags[tag] = channel.no_ack_unnamed.pop(0)


class Session:
    """The program's peers, the names it made, and the sending of ops."""

    def __init__(self, endpoint: Endpoint, prefix: str) -> None:
        self.endpoint = endpoint
        self.prefix = prefix
        self.peers: dict[int, Peer] = {}
        self.queues: set[str] = set()
        self.exchanges: set[str] = set()
        self.exclusive: dict[str, int] = {}
        self.seen: dict[str, list[str]] = {"queue": [], "tag": [], "reply": []}

    def peer(self, number: int, tuning: Tuning | None = None) -> Peer:
        """Return a live connection, opened if need be; raises NoAnswer or OSError."""
        peer = self.peers.get(number)
        if peer is None or not peer.wire.is_open:
            earlier = peer.received if peer else []
            if peer:
                peer.wire.drop()
            peer = self.peers[number] = Peer(self.endpoint, tuning or Tuning())
            peer.received = earlier + peer.received
        return peer

    def live_peers(self) -> list[tuple[int, Peer]]:
        """Return the connections that are open, by number."""
        return [(n, peer) for n, peer in sorted(self.peers.items()) if peer.wire.is_open]

    def resolve(self, value: Any) -> Any:
        """Return an argument with prefix and placeholders filled in, at any depth."""
        if isinstance(value, str):
            return self._resolve_text(value)
        if isinstance(value, list | tuple):
            return [self.resolve(each) for each in value]
        return value

    def _resolve_text(self, text: str) -> str:
        if text.startswith("@"):
            return self.prefix + text[1:]
        for kind, names in self.seen.items():
            if text.startswith(f"${kind}"):
                index = int(text[len(kind) + 1 :])
                return names[index] if index < len(names) else f"{self.prefix}no-{kind}"
        return text

    def learn(self, kind: str, name: str) -> None:
        """Note a name that the broker made up."""
        if name not in self.seen[kind]:
            self.seen[kind].append(name)

    def notice_server_names(self) -> None:
        """Note queues that the broker named in answers not yet looked at."""
        answers = [each for peer in self.peers.values() for _, each in peer.received]
        for received in answers:
            name = str(received.args.get("queue", ""))
            is_new = name.startswith("amq.gen-") and name not in self.seen["queue"]
            if received.name == "queue.declare-ok" and is_new:
                self.learn("queue", name)
                self.queues.add(name)

    def perform(self, step: Step) -> None:
        """Send a step's ops in one write; raises NoAnswer, OSError."""
        peer = self._prepare(step)
        if peer is None:
            return
        out = bytearray()
        is_closing = False
        for op in step.ops:
            if op.name == "drop":
                peer.wire.send(bytes(out))
                peer.wire.drop()
                return
            out += self._encode(peer, step, op)
            is_closing = is_closing or op.name == "connection.close"
        number = step.channel
        peer.wire.send(bytes(out))
        channel = peer.channel(number)
        if is_closing:
            channel.awaited.append("connection.close-ok")
        elif number and not channel.awaited:
            peer.sync(number)

    def _prepare(self, step: Step) -> Peer | None:
        first = step.ops[0] if step.ops else None
        if first is not None and first.name == "connect":
            self._reconnect(step, first)
            return None
        peer = self.peer(step.connection)
        if not peer.wire.is_open:
            return None
        if step.is_careful and step.channel and not peer.channel(step.channel).is_open:
            peer.wire.send_method(step.channel, "channel.open")
            peer.channel(step.channel).awaited.append("channel.open-ok")
            self.drain(peer, step.channel)
        return peer if peer.wire.is_open else None

    def _reconnect(self, step: Step, op: Op) -> None:
        if step.connection in self.peers:
            self.peers[step.connection].wire.drop()
        args = dict(op.args)
        if "header" in args:
            args["header"] = bytes.fromhex(args["header"])
        self.peer(step.connection, Tuning(**args))

    def drain(self, peer: Peer, number: int) -> None:
        """Read until all that is due on a channel is there; raises NoAnswer."""
        deadline = peer.wire.deadline()
        while peer.is_due(number):
            peer.read(deadline)

    def _encode(self, peer: Peer, step: Step, op: Op) -> bytes:
        encoders = {
            "publish": self._publish,
            "settle": self._settle,
            "raw": self._raw,
            "header": self._header,
            "body": self._body,
            "method": self._method,
        }
        args = {name: self.resolve(value) for name, value in op.args.items()}
        if op.name in encoders:
            return encoders[op.name](peer, step, args)
        self._foresee(peer, step, op.name, args)
        payload = codec.encode_method(op.name, args)
        return codec.encode_frame(codec.FRAME_METHOD, step.channel, payload)

    def _foresee(self, peer: Peer, step: Step, name: str, args: dict[str, Any]) -> None:
        """Note what a method will change, for the ops after it."""
        channel = peer.channel(step.channel)
        if name in ("queue.declare", "exchange.declare"):
            self._note_declared(step, name, args)
        elif name == "basic.get":
            channel.gets_sent.append(bool(args.get("no_ack")))
        elif name == "basic.consume":
            self._note_consume(channel, args)
        elif name == "confirm.select":
            channel.is_confirming = not channel.is_transactional
        elif name == "tx.select":
            channel.is_transactional = not channel.is_confirming
        elif name in ("channel.open", "channel.close", "tx.commit"):
            channel.awaited.append(f"{name}-ok")
        elif name == "channel.flow":
            channel.syncs_sent.append(False)
        elif name in ("basic.recover", "basic.recover-async"):
            channel.unsettled.clear()
        if name == "tx.rollback":
            channel.roll_back()
        elif name == "tx.commit":
            channel.settled_in_tx.clear()

    def _note_declared(self, step: Step, name: str, args: dict[str, Any]) -> None:
        if args.get("passive"):
            return
        kind = name.split(".")[0]
        made = str(args.get(kind, "")).replace("\r", "").replace("\n", "")
        if not made.startswith(self.prefix) or not made.isprintable():
            return
        (self.queues if kind == "queue" else self.exchanges).add(made)
        if args.get("exclusive"):
            self.exclusive.setdefault(made, step.connection)

    @staticmethod
    def _note_consume(channel: Channel, args: dict[str, Any]) -> None:
        is_no_ack = bool(args.get("no_ack"))
        tag = args.get("consumer_tag", "")
        if tag:
            channel.no_ack_tags[tag] = is_no_ack
        else:
            channel.no_ack_unnamed.append(is_no_ack)

    def _publish(self, peer: Peer, step: Step, args: dict[str, Any]) -> bytes:
        body = body_of(args["id"], args["size"])
        peer.channel(step.channel).publish(body)
        fields = {k: args[k] for k in ("exchange", "routing_key", "mandatory", "immediate")}
        chunk = args.get("chunk") or peer.wire.tuning.frame_size_max - codec.FRAME_OVERHEAD
        properties = codec.encode_properties([(n, v) for n, v in args["properties"]])
        payloads = [
            (codec.FRAME_METHOD, codec.encode_method("basic.publish", fields)),
            (codec.FRAME_HEADER, codec.encode_header(len(body), properties)),
        ]
        starts = range(0, len(body), chunk)
        payloads += [(codec.FRAME_BODY, body[at : at + chunk]) for at in starts]
        return b"".join(codec.encode_frame(kind, step.channel, data) for kind, data in payloads)

    def _settle(self, peer: Peer, step: Step, args: dict[str, Any]) -> bytes:
        channel = peer.channel(step.channel)
        is_multiple = bool(args.get("multiple"))
        tag = self.choose_tag(channel, args, is_multiple)
        if tag is None:
            return b""
        channel.settle(tag, is_multiple)
        fields = {"delivery_tag": tag, "multiple": is_multiple, "requeue": args.get("requeue", 0)}
        payload = codec.encode_method(args["method"], fields)
        return codec.encode_frame(codec.FRAME_METHOD, step.channel, payload)

    @staticmethod
    def choose_tag(channel: Channel, args: dict[str, Any], is_multiple: bool) -> int | None:
        """Choose a tag the same way whatever the order in which two queues delivered."""
        if "tag" in args:
            return int(args["tag"])
        if "beyond" in args:
            return channel.tag_max + 1 + int(args["beyond"])
        pool = channel.settled if args.get("again") else sorted(channel.unsettled)
        if not pool:
            return None
        if args.get("again") or (is_multiple and channel.is_interleaved):
            return max(tag for _, tag in pool)
        return pool[int(args["pick"]) % len(pool)][1]

    @staticmethod
    def _raw(_peer: Peer, step: Step, args: dict[str, Any]) -> bytes:
        payload = bytes.fromhex(args["payload"])
        return codec.encode_frame(
            args["kind"], step.channel, payload, args.get("end", codec.FRAME_END)
        )

    @staticmethod
    def _header(_peer: Peer, step: Step, args: dict[str, Any]) -> bytes:
        properties = codec.encode_properties([(n, v) for n, v in args["properties"]])
        payload = codec.encode_header(args["size"], properties, args.get("class_id", 60))
        return codec.encode_frame(codec.FRAME_HEADER, step.channel, payload)

    @staticmethod
    def _body(_peer: Peer, step: Step, args: dict[str, Any]) -> bytes:
        return codec.encode_frame(codec.FRAME_BODY, step.channel, b"b" * args["size"])

    @staticmethod
    def _method(_peer: Peer, step: Step, args: dict[str, Any]) -> bytes:
        ids = args["class_id"].to_bytes(2, "big") + args["method_id"].to_bytes(2, "big")
        payload = ids + bytes.fromhex(args["payload"])
        return codec.encode_frame(codec.FRAME_METHOD, step.channel, payload)

    def close(self) -> None:
        """Close the connections, politely while that works."""
        for peer in self.peers.values():
            try:
                if peer.wire.is_open:
                    peer.wire.send_method(0, "connection.close", reply_code=200)
                    peer.wire.wait_for(0, "connection.close-ok")
            except NoAnswer:
                pass
            peer.wire.drop()
