"""Steps that break the protocol: most of them cost the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from interop.differential import codec
from interop.differential.generate import traffic
from interop.differential.program import Op

if TYPE_CHECKING:
    from interop.differential.generate.maker import Maker

_UNOPENED: Final = 7
"""A channel that programs do not open otherwise."""
_ALIEN: Final = (
    "queue.declare-ok",
    "basic.deliver",
    "basic.get-ok",
    "basic.return",
    "basic.consume-ok",
    "channel.open-ok",
    "channel.flow-ok",
    "tx.select-ok",
    "confirm.select-ok",
    "exchange.declare-ok",
    "basic.cancel-ok",
    "basic.cancel",
    "connection.close",
    "connection.start-ok",
)
_LATE: Final = (
    "connection.start-ok",
    "connection.tune-ok",
    "connection.open",
    "connection.close-ok",
    "connection.secure-ok",
    "connection.start",
    "connection.blocked",
    "channel.open",
    "basic.publish",
    "connection.update-secret",
)


def _break(make: Maker, *ops: Op, channel: int | None = None, is_careful: bool = True) -> None:
    """Add a step that probably ends its connection."""
    connection, number = make.place()
    for each in range(1, make.channel_count + 1):
        traffic.forget(make, (connection, each))
    at = (connection, number if channel is None else channel)
    make.add(*ops, at=at, is_careful=is_careful)


def _publish_method(make: Maker) -> Op:
    return Op("basic.publish", {"exchange": "", "routing_key": make.queue()})


def content_out_of_order(make: Maker) -> None:
    """Send content frames without, before or instead of what must surround them."""
    publish = _publish_method(make)
    header = Op("header", {"size": 10, "properties": []})
    body = Op("body", {"size": 10})
    flow = Op("channel.flow", {"active": True})
    sequence: list[Op] = make.rng.choice(
        [
            [header],
            [body],
            [publish, flow],
            [publish, body],
            [publish, publish],
            [publish, header, flow],
            [publish, header, header],
            [publish, Op("header", {"size": 0, "properties": [], "class_id": 50})],
            [publish, Op("header", {"size": 10, "properties": [], "class_id": 0})],
            [publish, header, Op("body", {"size": 11})],
            [publish, header, Op("body", {"size": 9}), flow],
            [publish, header, Op("body", {"size": 0}), body],
            [publish, header, Op("body", {"size": 4}), Op("body", {"size": 6})],
            [publish, Op("header", {"size": 0, "properties": []}), Op("body", {"size": 0})],
        ]
    )
    _break(make, *sequence)


def bad_frame(make: Maker) -> None:
    """Send a frame that is none: wrong end, unknown type, heartbeat with a payload or channel."""
    flow = codec.encode_method("channel.flow", {"active": True}).hex()
    kind, payload, end, channel = make.rng.choice(
        [
            (codec.FRAME_METHOD, flow, 0, None),
            (codec.FRAME_METHOD, flow, 0xCD, None),
            (codec.FRAME_BODY, "00" * 20, 0, None),
            (codec.FRAME_METHOD, flow, 0, 0),
            (codec.FRAME_HEARTBEAT, "", 0xCE, None),
            (codec.FRAME_HEARTBEAT, "", 0xCE, 0),
            (codec.FRAME_HEARTBEAT, "00", 0xCE, 0),
            (4, "", 0xCE, None),
            (0, "0102", 0xCE, None),
            (99, "00" * 17, 0xCE, None),
            (5, "", 0xCE, 0),
            (codec.FRAME_BODY, "00", 0xCE, 0),
            (codec.FRAME_HEADER, "003c0000" + "00" * 10, 0xCE, 0),
            (codec.FRAME_METHOD, "", 0xCE, None),
            (codec.FRAME_METHOD, "0014", 0xCE, None),
            (codec.FRAME_METHOD, "001400", 0xCE, 0),
        ]
    )
    _break(make, Op("raw", {"kind": kind, "payload": payload, "end": end}), channel=channel)


def unknown_method(make: Maker) -> None:
    """Send a method that does not exist, or whose arguments end early or late."""
    own = {"queue": "differential", "exclusive": True}
    declare = codec.encode_method("queue.declare", own)[4:].hex()
    class_id, method_id, payload, channel = make.rng.choice(
        [
            (99, 10, "", None),
            (20, 99, "", None),
            (60, 130, "", None),
            (0, 0, "", None),
            (99, 10, "00" * 30, 0),
            (10, 99, "", 0),
            (50, 10, "", None),
            (50, 10, declare[:6], None),
            (50, 10, declare[:-2], None),
            (50, 10, declare + "00", None),
            (60, 80, "00" * 8, None),
            (60, 80, "00" * 10, None),
            (10, 50, "", 0),
            (20, 20, "", None),
            (85, 10, "fe", None),
        ]
    )
    args = {"class_id": class_id, "method_id": method_id, "payload": payload}
    _break(make, Op("method", args), channel=channel)


def bad_table(make: Maker) -> None:
    """Send a queue.declare whose argument table is malformed."""
    start = codec.encode_method("queue.declare", {"queue": ""})[4:-4]
    tables = [
        "00000004" + "0161" + "7a00",
        "00000003" + "016149",
        "000000ff" + "016149",
        "00000001" + "ff",
        "00000004" + "01617402",
        "00000007" + "0161" + "41" + "000000ff",
        "00000008" + "0161" + "53" + "00000001" + "ff",
        "00000004" + "01ff7401",
    ]
    payload = start.hex() + make.rng.choice(tables)
    _break(make, Op("method", {"class_id": 50, "method_id": 10, "payload": payload}))


def bad_properties_frame(make: Maker) -> None:
    """Send a content header whose property bytes make no sense."""
    broken = make.rng.choice(["", "00", "8000", "800005" + "61", "0001", "00010000", "0002", "ff"])
    header = "003c0000" + "00" * 8 + broken
    raw = Op("raw", {"kind": codec.FRAME_HEADER, "payload": header})
    publish = Op("basic.publish", {"exchange": "amq.fanout", "routing_key": "a"})
    _break(make, publish, raw)


def not_utf8(make: Maker) -> None:
    """Send names that are not UTF-8."""
    bad = "@\udcff"
    op = make.rng.choice(
        [
            Op("queue.declare", {"queue": bad}),
            Op("basic.publish", {"exchange": "", "routing_key": bad}),
            Op("queue.bind", {"queue": "@q0", "exchange": "amq.topic", "routing_key": bad}),
            Op("basic.consume", {"queue": "@q0", "consumer_tag": bad}),
            Op("exchange.declare", {"exchange": "@u", "type": bad}),
        ]
    )
    _break(make, op)


def alien_method(make: Maker) -> None:
    """Send on a channel what only the server, or only channel 0, may."""
    name = make.rng.choice(_ALIEN)
    ops = [Op(name)]
    if name in codec.CONTENT_METHODS:
        ops.append(Op("header", {"size": 0, "properties": []}))
    _break(make, *ops)


def late_method(make: Maker) -> None:
    """Send on channel 0 what has no place on an open connection."""
    name = make.rng.choice(_LATE)
    args: dict[str, Any] = {}
    if name == "connection.start-ok":
        args = {"mechanism": "PLAIN", "response": "\0guest\0guest", "locale": "en_US"}
    elif name == "connection.tune-ok":
        args = {"channel_max": 10, "frame_max": 4096}
    elif name == "connection.update-secret":
        args = {"new_secret": "guest", "reason": "test"}
    _break(make, Op(name, args), channel=0)


def unopened(make: Maker) -> None:
    """Use a channel that is not open, open one twice, or close what is closed."""
    flow = Op("channel.flow", {"active": True})
    opening = Op("channel.open")
    sequence, is_careful, channel = make.rng.choice(
        [
            ([flow], False, _UNOPENED),
            ([Op("queue.declare", {"queue": "@q0"})], False, _UNOPENED),
            ([Op("channel.close", {"reply_code": 200})], False, _UNOPENED),
            ([Op("channel.close-ok")], False, _UNOPENED),
            ([_publish_method(make)], False, _UNOPENED),
            ([Op("body", {"size": 1})], False, _UNOPENED),
            ([opening], True, None),
            ([opening, opening], False, _UNOPENED),
            ([opening, flow], False, 60_000),
            ([Op("basic.ack", {"delivery_tag": 1})], False, _UNOPENED),
        ]
    )
    _break(make, *sequence, is_careful=is_careful, channel=channel)


def dropped_silently(make: Maker) -> None:
    """Send methods after one that closes the channel: all of them must be ignored."""
    after = [
        Op("queue.declare", {"queue": "@late"}),
        Op("basic.ack", {"delivery_tag": 99}),
        Op("basic.qos", {"prefetch_size": 1}),
        Op("tx.commit"),
        make.message("", make.queue()),
    ]
    ops = make.rng.sample(after, make.rng.randint(1, 3))
    at = make.place()
    traffic.forget(make, at)
    make.add(Op("queue.declare", {"queue": "@missing", "passive": True}), *ops, at=at)


def too_large(make: Maker) -> None:
    """Send a frame above the negotiated size."""
    connection = make.rng.randrange(make.connection_count)
    size = make.rng.choice([4096, 8192])
    make.add(Op("connect", {"frame_size_max": size}), at=(connection, 0))
    excess = make.rng.choice([-8, -7, 0, 1, 8, 1000])
    message = make.message("", make.queue(), size=size + excess)
    message.args["chunk"] = size + excess
    make.add(message, at=(connection, 1))


def many_channels(make: Maker) -> None:
    """Open more channels than were negotiated."""
    connection = make.rng.randrange(make.connection_count)
    for each in range(1, make.channel_count + 1):
        traffic.forget(make, (connection, each))
    make.add(Op("connect", {"channel_max": 2}), at=(connection, 0))
    for channel in (1, 2, 3):
        make.add(Op("channel.open"), at=(connection, channel), is_careful=False)


def handshake(make: Maker) -> None:
    """Connect in an odd or refused way; what RabbitMQ answers after three seconds only is rare."""
    slow: list[dict[str, Any]] = [
        {"channel_max": 0},
        {"channel_max": 2048},
        {"frame_size_max": 0},
        {"frame_size_max": 4095},
        {"frame_size_max": 131_073},
        {"mechanism": "NONSENSE"},
        {"password": "wrong", "wants_failure_close": False},
    ]
    quick: list[dict[str, Any]] = [
        {"password": "wrong"},
        {"user": "nobody"},
        {"vhost": "no such vhost"},
        {"vhost": ""},
        {"frame_size_max": 4096},
        {"header": b"AMQP\x00\x00\x09\x00".hex()},
        {"header": b"AMQP\x01\x01\x00\x09".hex()},
        {"header": b"GET / HT".hex()},
        {"wants_cancel_notify": False},
    ]
    args = make.rng.choice(slow if make.chance(0.03) else quick)
    connection = make.rng.randrange(make.connection_count)
    for each in range(1, make.channel_count + 1):
        traffic.forget(make, (connection, each))
    make.add(Op("connect", args), at=(connection, 0))


def access_request(make: Maker) -> None:
    """Send the method that 0-9-1 has dropped and brokers still answer."""
    make.add(Op("access.request", {"realm": "/data", "passive": True, "read": True}))
