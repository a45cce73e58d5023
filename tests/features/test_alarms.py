"""While the disk is short, publishers wait and consumers do not (FEATURES A1.15, A17.1, A17.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pamqp import commands

from tests.amqp_bytes import properties
from tests.features.restarts import Restarts
from tests.raw_client import CAPABILITIES, RawClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.timeout(60), pytest.mark.deviates("needs a broker of its own")]

PERSISTENT = properties(delivery_mode=2)
MUCH = str(1 << 60)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Restarts]]:
    """Start a broker with settings."""
    made: list[Restarts] = []

    def start(**settings: Any) -> Restarts:
        made.append(Restarts(tmp_path / "data", **settings))
        made[-1].start()
        return made[-1]

    yield start
    for broker in made:
        broker.close()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"disk_free_limit": MUCH}, "low on disk"),
        ({"memory_limit_ratio": "0.0000001"}, "low on memory"),
        ({"disk_free_limit": MUCH, "memory_limit_ratio": "0.0000001"}, "low on memory & disk"),
    ],
)
def test_a_publisher_is_told_why_it_waits(
    start: Callable[..., Restarts], settings: dict[str, str], reason: str
) -> None:
    client = start(**settings).connect()
    client.declare("q", durable=True)
    client.publish("q", b"1", header=PERSISTENT)
    assert client.read(commands.Connection.Blocked, 0).reason == reason


def test_what_was_read_before_is_stored_and_confirmed_what_follows_waits(
    start: Callable[..., Restarts],
) -> None:
    restarts = start(disk_free_limit=MUCH)
    client, other = restarts.connect(), restarts.connect()
    client.declare("q", durable=True)
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    client.publish("q", b"1", header=PERSISTENT)
    client.read(commands.Connection.Blocked, 0)
    assert client.read(commands.Basic.Ack).delivery_tag == 1
    client.publish("q", b"2", header=PERSISTENT)
    assert [other.counts("q")[0] for _ in range(20)] == [1] * 20


def test_consumers_and_declares_go_on(start: Callable[..., Restarts]) -> None:
    restarts = start(disk_free_limit=MUCH)
    publisher, consumer = restarts.connect(), restarts.connect()
    consumer.declare("q", durable=True)
    publisher.publish("q", b"1", header=PERSISTENT)
    publisher.read(commands.Connection.Blocked, 0)
    consumer.consume("q")
    message = consumer.deliver()
    consumer.ack(message.tag)
    consumer.declare("r", durable=True)
    assert consumer.counts("q") == (0, 1)


def test_who_does_not_understand_it_waits_without_a_word(start: Callable[..., Restarts]) -> None:
    restarts = start(disk_free_limit=MUCH)
    client = RawClient(restarts._broker)
    client.login(capabilities={**CAPABILITIES, "connection.blocked": False})
    client.tune_ok()
    client.open()
    client.open_channel()
    client.declare("q")
    client.publish("q", b"1")
    other = restarts.connect()
    while other.counts("q")[0] == 0:
        pass
    client.publish("q", b"2")
    assert [other.counts("q")[0] for _ in range(20)] == [1] * 20
    client.close()


def test_a_blocked_publisher_does_not_hold_up_the_end(start: Callable[..., Restarts]) -> None:
    restarts = start(disk_free_limit=MUCH)
    client = restarts.connect()
    client.declare("q", durable=True)
    client.publish("q", b"1", header=PERSISTENT)
    client.read(commands.Connection.Blocked, 0)
    assert restarts.stop() == 0
