"""Wrong arguments, limits and the broker's end (FEATURES A8.6, A8.7, A8.9, A8.11, A8.18)."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest
from pamqp import commands

from tests.amqp_bytes import longstr, method_frame, shortstr
from tests.conftest import EXTERNAL_URL
from tests.helpers import start_broker
from tests.raw_client import RawClient

if TYPE_CHECKING:
    from tests.features.conftest import Connect
    from tests.helpers import RunningBroker

DECLARE, CONSUME = (50, 10), (60, 20)
LARGE = 315_360_000_001


@pytest.mark.parametrize(
    ("argument", "pair", "reason"),
    [
        ("x-message-ttl", ("I", -1), "{value_negative,-1}"),
        ("x-message-ttl", ("l", LARGE), f"{{value_too_large,{LARGE}}}"),
        ("x-message-ttl", ("S", "soon"), '"expected integer, got longstr"'),
        ("x-expires", ("I", 0), "{value_zero,0}"),
        ("x-expires", ("I", -1), "{value_negative,-1}"),
        ("x-expires", ("t", True), '"expected integer, got bool"'),
        ("x-max-length", ("I", -1), "{value_negative,-1}"),
        ("x-max-length", ("d", 1.0), '"expected integer, got double"'),
        ("x-max-length-bytes", ("I", -1), "{value_negative,-1}"),
        ("x-max-priority", ("I", 256), "{max_value_exceeded,256}"),
        ("x-max-priority", ("I", -1), "{value_negative,-1}"),
        ("x-overflow", ("S", "drop"), "invalid_overflow"),
        ("x-overflow", ("I", 1), "{unacceptable_type,signedint}"),
        ("x-dead-letter-routing-key", ("S", "key"), "routing_key_but_no_dlx_defined"),
        ("x-dead-letter-routing-key", ("I", 1), "{unacceptable_type,signedint}"),
        ("x-single-active-consumer", ("I", 1), "{unacceptable_type,signedint}"),
        ("x-queue-type", ("S", "nonsense"), "\"unsupported queue type 'nonsense'\""),
    ],
)
def test_a_wrong_argument_is_named_with_the_reason(
    client: RawClient, name: str, argument: str, pair: tuple[str, Any], reason: str
) -> None:
    client.send_command(commands.Queue.Declare(queue=name), 1, {argument: pair})
    where = client.resource("queue", name)
    text = f"PRECONDITION_FAILED - invalid arg '{argument}' for {where}: {reason}"
    client.expect_channel_error(406, text, DECLARE)


def test_a_dead_letter_exchange_must_be_text(client: RawClient, name: str) -> None:
    arguments = {"x-dead-letter-exchange": ("I", 1)}
    client.send_command(commands.Queue.Declare(queue=name), 1, arguments)
    where = client.resource("queue", name)
    argument = "invalid type 'signedint' for arg 'x-dead-letter-exchange'"
    text = f"PRECONDITION_FAILED - {argument} in {where}"
    client.expect_channel_error(406, text, DECLARE)


@pytest.mark.parametrize(
    ("argument", "pair"), [("x-max-age", ("S", "1D")), ("x-max-in-memory-length", ("I", 1))]
)
def test_an_argument_of_another_queue_type_is_refused(
    client: RawClient, name: str, argument: str, pair: tuple[str, Any]
) -> None:
    # A8.7
    client.send_command(commands.Queue.Declare(queue=name), 1, {argument: pair})
    where = client.resource("queue", name)
    text = (
        f"PRECONDITION_FAILED - invalid arg '{argument}' for {where} "
        "of queue type rabbit_classic_queue"
    )
    client.expect_channel_error(406, text, DECLARE)


@pytest.mark.parametrize(
    ("argument", "pair", "reason"),
    [
        ("x-priority", ("S", "high"), '"expected integer, got longstr"'),
        ("x-cancel-on-ha-failover", ("I", 1), "{unacceptable_type,signedint}"),
    ],
)
def test_a_wrong_consumer_argument_is_refused(
    client: RawClient, queue: str, argument: str, pair: tuple[str, Any], reason: str
) -> None:
    client.send_command(commands.Basic.Consume(queue=queue), 1, {argument: pair})
    where = client.resource("queue", queue)
    text = f"PRECONDITION_FAILED - invalid arg '{argument}' for {where}: {reason}"
    client.expect_channel_error(406, text, CONSUME)


def test_a_refused_declare_leaves_nothing(client: RawClient, name: str) -> None:
    client.send_command(commands.Queue.Declare(queue=name), 1, {"x-expires": ("I", 0)})
    client.read(commands.Channel.Close)
    client.send_command(commands.Channel.CloseOk())
    client.open_channel()
    client.send_command(commands.Queue.Declare(queue=name, passive=True))
    text = f"NOT_FOUND - no {client.resource('queue', name)}"
    client.expect_channel_error(404, text, DECLARE)


def test_the_queue_limit_of_a_vhost(dial: Connect, broker: RunningBroker, name: str) -> None:
    # A8.11
    management = broker.management
    management.request("PUT", f"/vhosts/{name}", {})
    everything = dict.fromkeys(("configure", "write", "read"), ".*")
    management.request("PUT", f"/permissions/{name}/guest", everything)
    management.request("PUT", f"/vhost-limits/{name}/max-queues", {"value": 1})
    client = dial()
    client.login()
    client.tune_ok()
    client.open(name)
    client.open_channel()
    client.declare("one")
    client.declare("one")
    client.send_command(commands.Queue.Declare(queue="two"))
    text = (
        "PRECONDITION_FAILED - cannot declare queue 'two': "
        f"queue limit in vhost '{name}' (1) is reached"
    )
    client.expect_channel_error(406, text, DECLARE)
    client.close_connection()
    management.request("DELETE", f"/vhosts/{name}")


@pytest.mark.skipif(bool(EXTERNAL_URL), reason="stops the broker")
def test_clients_are_told_that_the_broker_stops() -> None:
    # A8.18; `start_broker` checks the exit code.
    with start_broker() as broker:
        client = RawClient(broker)
        client.login()
        client.tune_ok()
        client.open()
        assert broker.process is not None
        broker.process.send_signal(signal.SIGTERM)
        text = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"
        client.expect_connection_error(320, text)
        assert client.receive_to_end() == b""
        client.close()


IN_A_CHARACTER = pytest.mark.deviates("RabbitMQ cuts within a character")


@pytest.mark.parametrize("start", ["", pytest.param("x", marks=IN_A_CHARACTER)])
def test_a_long_text_is_cut_to_255_bytes(client: RawClient, start: str) -> None:
    # T29
    queue = start + "é" * 126
    client.send(method_frame(1, *DECLARE, bytes(2) + shortstr(queue) + b"\x01" + longstr("")))
    close = client.read(commands.Channel.Close)
    text = f"NOT_FOUND - no {client.resource('queue', queue)}".encode()
    assert close.reply_text == text[:252].decode(errors="ignore") + "..."
