"""Bytes that no client should send (FEATURES A1.10, A1.17, A8.1-A8.5)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from pamqp import commands

from tests.amqp_bytes import (
    BODY,
    HEADER,
    HEARTBEAT,
    METHOD,
    command_frame,
    content_frames,
    longstr,
    method_frame,
    raw_frame,
    shortstr,
)

if TYPE_CHECKING:
    from tests.features.conftest import Connect
    from tests.raw_client import RawClient

PUBLISH = command_frame(commands.Basic.Publish(routing_key="nobody"), 1)


def header(body_size: int, class_id: int = 60) -> bytes:
    return raw_frame(HEADER, 1, struct.pack(">HHQH", class_id, 0, body_size, 0))


@pytest.mark.parametrize(
    ("end", "payload", "printed"), [(0x00, b"abc", '<<"abc">>'), (0xCD, b"", "<<>>")]
)
def test_a_wrong_frame_end(client: RawClient, end: int, payload: bytes, printed: str) -> None:
    # A8.1
    client.send(raw_frame(BODY, 1, payload, end))
    text = f"type 3, all octets = {printed}: {{invalid_frame_end_marker,{end}}}"
    client.expect_connection_error(501, f"FRAME_ERROR - {text}")


def test_nothing_is_read_after_a_wrong_frame_end(
    connect: Connect, client: RawClient, queue: str
) -> None:
    late = command_frame(commands.Queue.Delete(queue=queue), 1)
    client.send(raw_frame(BODY, 1, b"", 0) + late)
    client.read_close(501)
    assert connect().counts(queue) == (0, 0)


@pytest.mark.parametrize("kind", [0, 4, 7, 9, 255])
def test_an_unknown_frame_type(client: RawClient, kind: int) -> None:
    # A8.2
    client.send(raw_frame(kind, 1, b"abc"))
    text = f'FRAME_ERROR - type {kind}, all octets = <<"abc">>: unknown_frame'
    client.expect_connection_error(501, text)


def test_a_frame_larger_than_negotiated(dial: Connect) -> None:
    # A1.10: up to 8 bytes too many are tolerated.
    client = dial()
    client.login()
    client.tune_ok(frame_max=4096)
    client.open()
    client.open_channel()
    client.send(PUBLISH + header(4096) + raw_frame(BODY, 1, bytes(4096)))
    client.send(struct.pack(">BHI", BODY, 1, 4097))
    text = "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,4097,4088}"
    client.expect_connection_error(501, text)


def test_a_body_frame_without_a_publish(client: RawClient) -> None:
    # A8.3
    client.send(raw_frame(BODY, 1, b"body"))
    text = "UNEXPECTED_FRAME - expected method frame, got non method frame instead"
    client.expect_connection_error(505, text)


def test_a_header_frame_without_a_publish(client: RawClient) -> None:
    client.send(header(1))
    text = "UNEXPECTED_FRAME - expected method frame, got non method frame instead"
    client.expect_connection_error(505, text)


def test_a_method_instead_of_a_header(client: RawClient) -> None:
    client.send(PUBLISH + PUBLISH)
    text = (
        "UNEXPECTED_FRAME - expected content header for class 60, "
        "got non content header frame instead"
    )
    client.expect_connection_error(505, text, (60, 40))


def test_a_header_of_another_class(client: RawClient) -> None:
    client.send(PUBLISH + header(1, class_id=50))
    text = "UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead"
    client.expect_connection_error(505, text, (60, 40))


def test_a_method_instead_of_a_body(client: RawClient) -> None:
    client.send(PUBLISH + header(5) + PUBLISH)
    text = "UNEXPECTED_FRAME - expected content body, got non content body frame instead"
    client.expect_connection_error(505, text, (60, 40))


def test_a_second_header_instead_of_a_body(client: RawClient) -> None:
    client.send(PUBLISH + header(5) + header(5))
    text = "UNEXPECTED_FRAME - expected content body, got non content body frame instead"
    client.expect_connection_error(505, text, (60, 40))


@pytest.mark.deviates("RabbitMQ waits for the body's end for ever")
def test_a_body_longer_than_announced(client: RawClient) -> None:
    # A8.4
    client.send(PUBLISH + header(3) + raw_frame(BODY, 1, b"four"))
    code = client.read(commands.Connection.Close, 0).reply_code
    assert code in (501, 505)


@pytest.mark.parametrize("kind", [HEADER, BODY], ids=["header", "body"])
def test_content_on_channel_0(client: RawClient, kind: int) -> None:
    # A1.17
    payload = struct.pack(">HHQH", 60, 0, 1, 0)
    client.send(raw_frame(kind, 0, payload))
    printed = "<<0,60,0,0,0,0,0,0,0,0,0,1,0,0>>"
    text = f"UNEXPECTED_FRAME - type {kind}, all octets = {printed}"
    client.expect_connection_error(505, text)


def test_a_long_payload_is_printed_in_part(client: RawClient) -> None:
    client.send(raw_frame(BODY, 0, bytes(range(100, 120))))
    text = 'UNEXPECTED_FRAME - type 3, first 16 octets = <<"defghijklmnopqrs">>'
    client.expect_connection_error(505, text)


def test_a_heartbeat_on_a_channel(client: RawClient) -> None:
    # A1.11
    client.send(raw_frame(HEARTBEAT, 1, b""))
    client.expect_connection_error(505, "UNEXPECTED_FRAME - type 8, all octets = <<>>")


def test_a_heartbeat_with_a_payload(client: RawClient) -> None:
    client.send(raw_frame(HEARTBEAT, 0, b"x"))
    text = 'FRAME_ERROR - type 8, all octets = <<"x">>: unknown_frame'
    client.expect_connection_error(501, text)


@pytest.mark.deviates("RabbitMQ 3.10 resets the connection")
@pytest.mark.parametrize("ids", [(60, 999), (61, 10), (0, 0), (10, 99)])
@pytest.mark.parametrize("channel", [0, 1])
def test_an_unknown_method(client: RawClient, ids: tuple[int, int], channel: int) -> None:
    # A1.17
    client.send(method_frame(channel, *ids))
    client.read_close(503)


def test_a_method_only_the_broker_may_send(client: RawClient) -> None:
    arguments = shortstr("tag") + bytes(9) + shortstr("") + shortstr("")
    client.send(method_frame(1, 60, 60, arguments) + content_frames(1, b"", bytes(2)))
    text = "COMMAND_INVALID - unimplemented method"
    client.expect_connection_error(503, text, (60, 60))


def test_a_method_without_ids(client: RawClient) -> None:
    client.send(raw_frame(METHOD, 1, b"\x00"))
    text = "FRAME_ERROR - type 1, all octets = <<0>>: unknown_frame"
    client.expect_connection_error(501, text)


@pytest.mark.parametrize(
    "fields",
    [b"", b"\x01q\x00", b"\x20short", b"\x01q\x00" + struct.pack(">I", 100) + b"\x01aI"],
    ids=["empty", "no table", "name", "table"],
)
def test_arguments_that_end_early(client: RawClient, fields: bytes) -> None:
    client.send(method_frame(1, 50, 10, bytes(2) + fields))
    printed = ",".join(str(byte) for byte in bytes(2) + fields)
    text = f"FRAME_ERROR - cannot decode <<{printed}>>"
    client.expect_connection_error(501, text, (50, 10))


@pytest.mark.deviates("RabbitMQ 3.10 resets the connection")
@pytest.mark.parametrize(
    "fields",
    [b"\x01a?\x00", b"\x05abI\x00\x00\x00\x01", b"\x01aF\x00\x00\x01\x00", b"\x01aS\x00"],
    ids=["unknown type", "cut name", "nested too long", "cut size"],
)
def test_a_malformed_table(client: RawClient, name: str, fields: bytes) -> None:
    arguments = bytes(2) + shortstr(name) + bytes(1) + longstr(fields)
    client.send(method_frame(1, 50, 10, arguments))
    assert client.read(commands.Connection.Close, 0).reply_code in (501, 502)


def test_a_channel_never_opened(client: RawClient) -> None:
    # A8.5
    client.send(command_frame(commands.Basic.Ack(1), 9))
    client.expect_connection_error(504, "CHANNEL_ERROR - expected 'channel.open'", (60, 80))


def test_a_channel_number_above_the_negotiated_one(dial: Connect) -> None:
    client = dial()
    client.login()
    client.tune_ok(channel_max=10)
    client.open()
    client.send_command(commands.Queue.Declare(), 11)
    assert client.read(commands.Connection.Close, 0).reply_code in (504, 530)


def test_half_a_frame_waits_for_the_other_half(client: RawClient, queue: str) -> None:
    data = command_frame(commands.Queue.Declare(queue=queue, passive=True), 1)
    for position in range(len(data)):
        client.send(data[position : position + 1])
    client.read(commands.Queue.DeclareOk)


def test_a_client_that_leaves_half_a_frame(client: RawClient, connect: Connect) -> None:
    other = connect()
    client.send(command_frame(commands.Queue.Declare(), 1)[:-3])
    client.close()
    other.close_channel()


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_client_that_leaves_within_the_header(dial: Connect, connect: Connect, size: int) -> None:
    # A1.16: health checks of load balancers connect and go.
    client = dial()
    client.send(b"AMQP\x00\x00\x09\x01"[:size])
    client.close()
    connect().close_connection()


def test_other_connections_live_on(connect: Connect, queue: str) -> None:
    bad, good = connect(), connect()
    bad.send(bytes(64))
    bad.read(commands.Connection.Close, 0)
    assert good.counts(queue) == (0, 0)
