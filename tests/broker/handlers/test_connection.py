"""The handshake as the domain sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pamqp import commands

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.timers import Clock as TimersClock
from amqpbroker.config import Config
from amqpbroker.wire.connection import State
from tests.broker.client import MemoryClient, connect, make_broker
from tests.broker.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Mapping


def test_start_tells_who_we_are(broker: Broker) -> None:
    start = MemoryClient(broker).start()
    properties: dict[str, Any] = dict(start.server_properties)
    assert properties["product"] == broker.config.product
    assert properties["capabilities"]["basic.nack"] is True
    assert "PLAIN" in start.mechanisms.split()
    assert start.locales == "en_US"


def test_the_client_says_who_it_is(broker: Broker) -> None:
    client = connect(broker)
    session = client.session
    assert session.principal is not None
    assert session.principal.username == "guest"
    assert session.mechanism == "PLAIN"
    assert "basic.nack" in session.capabilities
    assert session.vhost is broker.vhosts["/"]


def test_a_wrong_password_is_told_to_those_who_understand(broker: Broker) -> None:
    client = MemoryClient(broker)
    client.start()
    client.start_ok("\0guest\0wrong")
    close = client.read(commands.Connection.Close, 0)
    assert close.reply_code == 403
    assert close.reply_text.startswith("ACCESS_REFUSED - Login was refused using")
    assert not client.session.is_finished
    client.send_command(commands.Connection.CloseOk(), 0)
    assert client.session.is_finished


def refused(clock: Clock, capabilities: Mapping[str, bool]) -> MemoryClient:
    """A client of a broker with that clock, that has sent a wrong password."""
    config = Config(
        is_memory=True,
        login_failure_delay_s=3,
        password_hashing_module="rabbit_password_hashing_sha256",
    )
    broker = Broker(config, clock=TimersClock(now=clock))
    broker.add_defaults()
    client = MemoryClient(broker)
    client.start()
    client.start_ok("\0guest\0wrong", capabilities=capabilities)
    return client


def test_a_wrong_password_is_met_with_silence_otherwise() -> None:
    # A1.7: as RabbitMQ, after three seconds.
    clock = Clock()
    client = refused(clock, {})
    clock.now = 2.9
    client.broker.timers.fire()
    assert not client.session.is_finished
    clock.now = 3
    client.broker.timers.fire()
    assert client.session.is_finished
    assert client.is_silent


def test_nothing_is_heard_from_a_client_that_waits() -> None:
    client = refused(Clock(), {})
    client.start_ok()
    client.tune_ok()
    client.send(b"anything")
    assert client.is_silent
    assert client.session.principal is None
    assert not client.session.is_finished


def test_a_failed_login_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    client = refused(Clock(), {})
    client.send(b"anything" * 100)
    client.close()
    assert [line for line in caplog.messages if "memory" in line] == [
        "memory: login refused, user 'guest' - invalid credentials"
    ]


def test_others_go_on_while_a_client_waits() -> None:
    waiting = refused(Clock(), {})
    assert connect(waiting.broker).declare("q") == "q"


def test_a_client_that_was_told_may_go_at_once() -> None:
    client = refused(Clock(), {"authentication_failure_close": True})
    client.read_close(403)
    client.send_command(commands.Connection.CloseOk(), 0)
    assert client.session.is_finished
    assert len(client.broker.timers) == 0


def test_a_client_that_was_told_and_stays_is_hung_up_on() -> None:
    clock = Clock()
    client = refused(clock, {"authentication_failure_close": True})
    clock.now = 3
    client.broker.timers.fire()
    assert client.session.is_finished


def test_a_client_that_leaves_while_it_waits_leaves_nothing() -> None:
    client = refused(Clock(), {})
    client.close()
    assert len(client.broker.timers) == 0


@pytest.mark.parametrize(
    ("channel_max", "frame_max", "text"),
    [
        (0, 131072, "channel_max = 0 (no limit) is higher than the maximum allowed value (9)"),
        (10, 131072, "channel_max = 10 is higher than the maximum allowed value (9)"),
        (9, 0, "frame_max = 0 is higher than the maximum allowed value (131072)"),
        (9, 131073, "frame_max = 131073 is higher than the maximum allowed value (131072)"),
        (9, 4095, "frame_max = 4095 is lower than the minimum allowed value (4096)"),
    ],
)
def test_limits_that_are_none(channel_max: int, frame_max: int, text: str) -> None:
    client = MemoryClient(make_broker(channel_max=9))
    client.login()
    client.tune_ok(channel_max, frame_max)
    client.expect_connection_error(530, f"NOT_ALLOWED - negotiated {text}", (10, 31))


def test_limits_are_kept(broker: Broker) -> None:
    client = MemoryClient(broker)
    client.login()
    client.tune_ok(channel_max=1, frame_max=4096, heartbeat=7)
    client.open()
    client.open_channel()
    assert client.session.heartbeat_s == 7
    client.publish(client.declare("q"), bytes(10_000))
    message = client.get("q")
    assert message is not None
    assert message.body_frame_sizes == (4088, 4088, 1824)
    client.send_command(commands.Channel.Open(), 2)
    assert client.read_close(530)


def test_a_vhost_that_is_not_there(broker: Broker) -> None:
    client = MemoryClient(broker)
    client.login()
    client.tune_ok()
    client.send_command(commands.Connection.Open("no"), 0)
    client.expect_connection_error(530, "NOT_ALLOWED - vhost no not found", (10, 40))


def test_closing_cleans_up_before_the_answer(client: MemoryClient, other: MemoryClient) -> None:
    client.declare("mine", exclusive=True)
    client.declare("q")
    client.consume("q")
    client.publish("q", b"x")
    client.messages()
    client.close_connection()
    assert client.session.is_finished
    assert client.session.wire.state is State.CLOSED
    assert "mine" not in client.broker.vhosts["/"].queues
    assert other.get_all("q") == [b"x"]


def test_a_close_that_crosses_ours(client: MemoryClient) -> None:
    client.session.force_close("enough")
    client.send_command(commands.Connection.Close(200, "", 0, 0), 0)
    client.read_close(320)
    client.read(commands.Connection.CloseOk, 0)
    assert client.session.wire.state is State.CLOSED


def test_a_new_secret_is_fine(client: MemoryClient) -> None:
    command = commands.Connection.UpdateSecret("secret", "refresh")
    client.call(command, commands.Connection.UpdateSecretOk, 0)
