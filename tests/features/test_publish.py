"""basic.publish and its content (FEATURES A5.1-A5.4, A5.6-A5.9, A5.11, T3, T13)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest
from pamqp import commands

from tests.amqp_bytes import (
    BODY,
    HEADER,
    command_frame,
    content_frames,
    longstr,
    method_frame,
    properties,
    raw_frame,
    shortstr,
)

if TYPE_CHECKING:
    from tests.amqp_bytes import TypedTable
    from tests.features.conftest import Connect
    from tests.raw_client import RawClient

PUBLISH = (60, 40)
EVERY_FIELD_TYPE: TypedTable = {
    "bool": ("t", True),
    "int8": ("b", -1),
    "uint8": ("B", 200),
    "int16": ("s", -300),
    "uint16": ("u", 60000),
    "int32": ("I", -70000),
    "uint32": ("i", 4_000_000_000),
    "int64": ("l", 1),
    "float": ("f", 0.5),
    "double": ("d", 0.1),
    "decimal": ("D", (2, 314)),
    "text": ("S", b"\xff\xfe not utf-8"),
    "bytes": ("x", b"\x00\x01"),
    "array": ("A", [("I", 1), ("S", "two"), ("A", []), ("F", {"deep": ("V", None)})]),
    "timestamp": ("T", 2**33),
    "table": ("F", {"z": ("I", 1), "a": ("I", 2)}),
    "void": ("V", None),
}
ALL_PROPERTIES: dict[str, Any] = {
    "content_type": "text/plain",
    "content_encoding": "utf-8",
    "headers": {"z": ("l", 1), "a": ("d", 0.1)},
    "delivery_mode": 2,
    "priority": 7,
    "correlation_id": "correlation",
    "reply_to": "somewhere",
    "expiration": "60000",
    "message_id": "message",
    "timestamp": 1_700_000_000,
    "type": "type",
    "user_id": "guest",
    "app_id": "app",
    "cluster_id": "cluster",
}


def test_publish_to_a_missing_exchange_closes_the_channel(client: RawClient, name: str) -> None:
    client.publish("key", b"lost", exchange=name)
    text = f"NOT_FOUND - no {client.resource('exchange', name)}"
    client.expect_channel_error(404, text, PUBLISH)


def test_immediate_is_not_implemented(client: RawClient, queue: str) -> None:
    # A5.6
    command = commands.Basic.Publish(routing_key=queue)
    command.immediate = True
    client.send(command_frame(command, 1) + content_frames(1, b"", bytes(2)))
    client.expect_connection_error(540, "NOT_IMPLEMENTED - immediate=true", PUBLISH)


def test_all_14_properties_come_back_byte_by_byte(client: RawClient, queue: str) -> None:
    header = properties(**ALL_PROPERTIES)
    client.publish(queue, b"one", header=header)
    message = client.get(queue)
    assert message is not None
    assert message.header == header


@pytest.mark.parametrize("name", sorted(ALL_PROPERTIES))
def test_each_property_alone_comes_back(client: RawClient, queue: str, name: str) -> None:
    header = properties(**{name: ALL_PROPERTIES[name]})
    client.publish(queue, b"one", header=header)
    message = client.get(queue)
    assert message is not None
    assert message.header == header


def test_headers_keep_their_types_and_order(client: RawClient, queue: str) -> None:
    # A5.4, T1: client libraries narrow numbers and cannot encode text that is not UTF-8.
    header = properties(headers=EVERY_FIELD_TYPE)
    client.publish(queue, b"one", header=header)
    client.consume(queue, no_ack=True)
    assert client.deliver().header == header


def test_header_names_given_twice_are_kept(client: RawClient, queue: str) -> None:
    twice = longstr(b"".join(shortstr("same") + b"I" + struct.pack(">i", n) for n in (1, 2)))
    header = struct.pack(">H", 1 << 13) + twice
    client.publish(queue, b"one", header=header)
    message = client.get(queue)
    assert message is not None
    assert message.header == header


def test_a_message_without_a_body_has_no_body_frame(client: RawClient, queue: str) -> None:
    # T13
    client.publish(queue, b"", b"after")
    client.consume(queue, no_ack=True)
    assert client.deliver().body_frame_sizes == ()
    assert client.deliver().body == b"after"


def test_a_body_may_come_in_many_frames(client: RawClient, queue: str) -> None:
    body = bytes(range(256)) * 4
    frame = command_frame(commands.Basic.Publish(routing_key=queue), 1)
    client.send(frame + content_frames(1, body, bytes(2), chunk=1))
    assert client.get_all(queue) == [body]


def test_empty_body_frames_between_are_ignored(client: RawClient, queue: str) -> None:
    frame = command_frame(commands.Basic.Publish(routing_key=queue), 1)
    header = raw_frame(HEADER, 1, struct.pack(">HHQH", 60, 0, 2, 0))
    parts = [raw_frame(BODY, 1, part) for part in (b"", b"o", b"", b"k")]
    client.send(frame + header + b"".join(parts))
    assert client.get_all(queue) == [b"ok"]


@pytest.mark.parametrize("size", [4087, 4088, 4089, 8176, 8177])
def test_body_frames_fill_the_negotiated_size(dial: Connect, name: str, size: int) -> None:
    # A5.2, T12: a frame has 8 bytes besides its payload.
    client = dial()
    client.login()
    client.tune_ok(frame_max=4096)
    client.open()
    client.open_channel()
    client.declare(name)
    client.publish(name, bytes(size))
    message = client.get(name)
    assert message is not None
    full, rest = divmod(size, 4088)
    assert message.body_frame_sizes == (4088,) * full + ((rest,) if rest else ())


def test_a_message_of_16_mib(client: RawClient, queue: str) -> None:
    body = bytes(range(256)) * 65536
    client.publish(queue, body)
    message = client.get(queue)
    assert message is not None
    assert message.body == body
    assert max(message.body_frame_sizes) == client.frame_size_max - 8


def test_frames_of_several_channels_may_interleave(client: RawClient, queue: str) -> None:
    client.open_channel(2)
    first, second = (command_frame(commands.Basic.Publish(routing_key=queue), n) for n in (1, 2))
    headers = [raw_frame(HEADER, n, struct.pack(">HHQH", 60, 0, 4, 0)) for n in (1, 2)]
    bodies = [raw_frame(BODY, n, part) for part in (b"ha", b"lf") for n in (2, 1)]
    client.send(first + second + b"".join(headers) + b"".join(bodies))
    client.counts(queue, channel=2)
    assert client.get_all(queue) == [b"half", b"half"]


def test_user_id_must_be_the_authenticated_user(client: RawClient, queue: str) -> None:
    # A5.7
    client.publish(queue, b"refused", header=properties(user_id="somebody"))
    text = (
        "PRECONDITION_FAILED - user_id property set to 'somebody' but "
        "authenticated user was 'guest'"
    )
    client.expect_channel_error(406, text, PUBLISH)


@pytest.mark.parametrize(
    ("expiration", "reason"),
    [
        ("soon", "no_integer"),
        ("", "no_integer"),
        ("1.5", '{leftover_string,".5"}'),
        ("10s", '{leftover_string,"s"}'),
        ("-1", "{value_negative,-1}"),
        ("315360000001", "{value_too_large,315360000001}"),
    ],
)
def test_a_wrong_expiration_is_refused(
    client: RawClient, queue: str, expiration: str, reason: str
) -> None:
    # A5.8
    client.publish(queue, b"refused", header=properties(expiration=expiration))
    text = f"PRECONDITION_FAILED - invalid expiration '{expiration}': {reason}"
    client.expect_channel_error(406, text, PUBLISH)


def test_the_largest_expiration_is_ten_years(client: RawClient, queue: str) -> None:
    client.publish(queue, b"one", header=properties(expiration="315360000000"))
    assert client.get_all(queue) == [b"one"]


def test_the_routing_key_of_a_message_need_not_be_utf_8(client: RawClient, queue: str) -> None:
    # T3
    client.bind(queue, "amq.fanout")
    key = shortstr(b"\xff\xfe key")
    client.send(method_frame(1, *PUBLISH, bytes(2) + shortstr("amq.fanout") + key + bytes(1)))
    client.send(content_frames(1, b"one", bytes(2)))
    assert client.counts(queue)[0] == 1
    client.send_command(commands.Basic.Get(queue=queue, no_ack=True))
    assert key in client.read_frame().payload


def test_any_other_name_must_be_utf_8(client: RawClient, queue: str) -> None:
    key = shortstr(b"\xff\xfe key")
    bind = bytes(2) + shortstr(queue) + shortstr("amq.direct") + key + bytes(1) + longstr(b"")
    client.send(method_frame(1, 50, 20, bind))
    client.expect_connection_error(501, "FRAME_ERROR - Malformed UTF-8 in shortstr", (0, 0))


@pytest.mark.deviates("RabbitMQ 3.10 refuses with 406 delivery_mode_unknown")
@pytest.mark.parametrize("mode", [0, 3, 255])
def test_an_unknown_delivery_mode_is_tolerated(client: RawClient, queue: str, mode: int) -> None:
    # A5.11
    header = properties(delivery_mode=mode)
    client.publish(queue, b"one", header=header)
    message = client.get(queue)
    assert message is not None
    assert message.header == header


def test_a_ticket_may_hold_anything(client: RawClient, queue: str) -> None:
    # T30
    publish = b"\x12\x34" + shortstr("") + shortstr(queue) + bytes(1)
    client.send(method_frame(1, *PUBLISH, publish) + content_frames(1, b"one", bytes(2)))
    assert client.get_all(queue) == [b"one"]


def test_a_client_that_vanishes_within_a_message_leaves_nothing(
    connect: Connect, name: str
) -> None:
    gone, other = connect(), connect()
    other.declare(name)
    gone.publish(name, b"whole")
    publish = command_frame(commands.Basic.Publish(routing_key=name), 1)
    content = content_frames(1, b"never whole", bytes(2))
    gone.send(publish + content[:-6])
    gone.close()
    other.consume(name, no_ack=True)
    assert other.deliver().body == b"whole"
    assert other.is_quiet(name)


def test_order_is_kept_from_one_channel_to_one_queue(client: RawClient, queue: str) -> None:
    bodies = [b"%d" % number for number in range(2000)]
    client.publish(queue, *bodies)
    client.consume(queue, no_ack=True)
    assert client.delivers(len(bodies)) == bodies
