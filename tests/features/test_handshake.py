"""Connection handshake and negotiation (FEATURES A1.1-A1.12, A1.16, T7, T8, T12, T30)."""

from __future__ import annotations

import contextlib
import struct
from typing import TYPE_CHECKING

import pytest
from pamqp import commands

from tests.amqp_bytes import (
    METHOD,
    PROTOCOL_HEADER,
    command_frame,
    longstr,
    method_frame,
    shortstr,
)

if TYPE_CHECKING:
    from tests.features.conftest import Connect
    from tests.helpers import RunningBroker
    from tests.raw_client import RawClient

LOGIN_REFUSED = (
    "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. "
    "For details see the broker logfile."
)


@pytest.mark.parametrize("header", [PROTOCOL_HEADER, b"AMQP\x01\x01\x00\x09"], ids=["0-9-1", "0-9"])
def test_both_headers_of_0_9_start_a_connection(dial: Connect, header: bytes) -> None:
    client = dial()
    client.send(header)
    start = client.read(commands.Connection.Start, 0)
    assert (start.version_major, start.version_minor) == (0, 9)


@pytest.mark.parametrize(
    "header",
    [
        b"AMQP\x00\x00\x09\x02",
        b"AMQP\x00\x00\x0a\x00",
        b"AMQP\x00\x01\x00\x00",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        bytes(8),
    ],
    ids=["0-9-2", "0-10", "1.0", "http", "tls", "zeros"],
)
def test_any_other_header_is_answered_with_ours_and_the_end(dial: Connect, header: bytes) -> None:
    client = dial()
    client.send(header)
    assert client.receive_to_end() == PROTOCOL_HEADER


def test_a_header_that_comes_byte_by_byte_is_read(dial: Connect) -> None:
    client = dial()
    for byte in PROTOCOL_HEADER:
        client.send(bytes([byte]))
    client.read(commands.Connection.Start, 0)


def test_start_names_mechanisms_and_locale(dial: Connect) -> None:
    start = dial().start()
    assert {"PLAIN", "AMQPLAIN"} <= set(start.mechanisms.split(" "))
    assert start.locales == "en_US"


def test_start_describes_the_server(dial: Connect) -> None:
    # A1.2, T8: Spring Boot and kombu read version and product without checking that they exist.
    fields = dial().start().server_properties
    assert fields is not None
    for name in ("product", "version", "platform", "copyright", "information", "cluster_name"):
        assert isinstance(fields[name], str)
    major, minor, _ = str(fields["version"]).split(".")[:3]
    assert (int(major), int(minor)) >= (3, 3)


def test_start_announces_every_capability(dial: Connect) -> None:
    fields = dial().start().server_properties
    assert fields is not None
    capabilities = fields["capabilities"]
    assert isinstance(capabilities, dict)
    names = {
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "consumer_priorities",
        "authentication_failure_close",
        "per_consumer_qos",
        "direct_reply_to",
    }
    assert {name for name in names if capabilities.get(name) is True} == names


def test_tune_proposes_the_limits_of_rabbitmq(dial: Connect) -> None:
    tune = dial().login()
    assert (tune.channel_max, tune.frame_max, tune.heartbeat) == (2047, 131072, 60)


def test_amqplain_is_accepted(dial: Connect) -> None:
    client = dial()
    client.start()
    response = shortstr("LOGIN") + b"S" + longstr("guest")
    response += shortstr("PASSWORD") + b"S" + longstr("guest")
    arguments = longstr(b"") + shortstr("AMQPLAIN") + longstr(response) + shortstr("en_US")
    client.send(method_frame(0, 10, 11, arguments))
    client.read(commands.Connection.Tune, 0)


@pytest.mark.parametrize("response", ["\0guest\0wrong", "\0nobody\0guest"])
def test_a_failed_login_is_told_without_the_reason(dial: Connect, response: str) -> None:
    # A1.7: class and method are 0/0.
    client = dial()
    client.start()
    client.start_ok(response)
    client.expect_connection_error(403, LOGIN_REFUSED)


def test_a_failed_login_without_the_capability_just_ends(dial: Connect) -> None:
    client = dial()
    client.start()
    client.start_ok("\0guest\0wrong", capabilities={})
    assert client.receive_to_end() == b""


@pytest.mark.deviates("RabbitMQ 3.10 fails to send its 530 and resets the connection after 3 s")
@pytest.mark.parametrize(
    ("limits", "explanation"),
    [
        (
            {"channel_max": 0},
            "channel_max = 0 (no limit) is higher than the maximum allowed value (2047)",
        ),
        (
            {"channel_max": 2048},
            "channel_max = 2048 is higher than the maximum allowed value (2047)",
        ),
        (
            {"frame_max": 0},
            "frame_max = 0 is higher than the maximum allowed value (131072)",
        ),
        (
            {"frame_max": 131073},
            "frame_max = 131073 is higher than the maximum allowed value (131072)",
        ),
        (
            {"frame_max": 4095},
            "frame_max = 4095 is lower than the minimum allowed value (4096)",
        ),
    ],
)
def test_tune_ok_outside_the_limits_is_refused(
    dial: Connect, limits: dict[str, int], explanation: str
) -> None:
    # A1.9
    client = dial()
    client.login()
    client.tune_ok(**limits)
    client.expect_connection_error(530, f"NOT_ALLOWED - negotiated {explanation}", (10, 31))


def test_the_smallest_frame_size_of_old_clients_is_accepted(dial: Connect) -> None:
    # A1.9: old amqplib negotiates 4096.
    client = dial()
    client.login()
    client.tune_ok(channel_max=1, frame_max=4096)
    client.open()
    client.open_channel()


def test_an_unknown_vhost_is_named(dial: Connect, name: str) -> None:
    client = dial()
    client.login()
    client.tune_ok()
    client.send_command(commands.Connection.Open(name), 0)
    client.expect_connection_error(530, f"NOT_ALLOWED - vhost {name} not found", (10, 40))


def test_a_vhost_without_permission_is_refused(
    dial: Connect, broker: RunningBroker, name: str
) -> None:
    broker.management.request("PUT", f"/users/{name}", {"password": name, "tags": ""})
    client = dial()
    client.login(name)
    client.tune_ok()
    client.send_command(commands.Connection.Open(client.vhost), 0)
    text = f"NOT_ALLOWED - access to vhost '{client.vhost}' refused for user '{name}'"
    client.expect_connection_error(530, text, (10, 40))
    broker.management.request("DELETE", f"/users/{name}")


def test_reserved_fields_of_open_may_hold_anything(dial: Connect) -> None:
    # T30
    client = dial()
    client.login()
    client.tune_ok()
    client.send(method_frame(0, 10, 40, shortstr(client.vhost) + shortstr("capable") + b"\x01"))
    client.read(commands.Connection.OpenOk, 0)
    client.send(method_frame(1, 20, 10, shortstr("reserved")))
    client.read(commands.Channel.OpenOk)


def test_the_whole_handshake_may_come_in_one_write(dial: Connect) -> None:
    # A2.7: a client that knows what will be answered need not wait.
    client = dial()
    steps = (
        commands.Connection.StartOk({}, "PLAIN", "\0guest\0guest"),
        commands.Connection.TuneOk(2047, 131072, 0),
        commands.Connection.Open(client.vhost),
    )
    frames = [command_frame(step, 0) for step in steps]
    client.send(PROTOCOL_HEADER + b"".join(frames) + command_frame(commands.Channel.Open(), 1))
    client.read(commands.Connection.Start, 0)
    client.read(commands.Connection.Tune, 0)
    client.read(commands.Connection.OpenOk, 0)
    client.read(commands.Channel.OpenOk)


def expect_refusal(client: RawClient, code: int, text: str) -> None:
    """Expect the end, with a reason or, as RabbitMQ does after 3 s, without."""
    with contextlib.suppress(EOFError, ConnectionResetError):
        reason = client.read_close(code)
        assert reason[1] == text
        client.send_command(commands.Connection.CloseOk(), 0)
    assert client.receive_to_end() == b""


def test_an_unknown_mechanism_ends_the_connection(dial: Connect) -> None:
    # A1.5
    client = dial()
    client.start()
    client.start_ok(mechanism="NONSENSE")
    text = "COMMAND_INVALID - unknown authentication mechanism 'NONSENSE'"
    expect_refusal(client, 503, text)


def test_a_malformed_plain_response_ends_the_connection(dial: Connect) -> None:
    client = dial()
    client.start()
    client.start_ok("guest")
    client.send_command(commands.Connection.CloseOk(), 0)
    assert struct.pack(">HH", 10, 30) not in client.receive_to_end()


def test_a_large_frame_before_login_ends_the_connection(dial: Connect) -> None:
    # A1.10: before tune-ok no frame may be as large as a tuned one.
    client = dial()
    client.start()
    client.send(struct.pack(">BHI", METHOD, 0, 131072))
    with contextlib.suppress(EOFError, ConnectionResetError):
        assert "frame_too_large" in client.read_close(501)[1]


def test_a_method_too_early_ends_the_connection(dial: Connect) -> None:
    # A1.17
    client = dial()
    client.start()
    client.send_command(commands.Connection.Open(client.vhost), 0)
    text = "CHANNEL_ERROR - unexpected method in connection state starting"
    expect_refusal(client, 504, text)
