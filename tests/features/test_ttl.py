"""Time to live of messages: x-message-ttl, expiration (FEATURES A9.1, A9.2, A6.19, N12)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from pamqp import commands

from tests.amqp_bytes import properties

if TYPE_CHECKING:
    from tests.amqp_bytes import TypedTable
    from tests.features.conftest import Connect
    from tests.raw_client import RawClient

ANYWHERE = pytest.mark.deviates("RabbitMQ expires messages only at the head")


@pytest.fixture
def grave(client: RawClient, name: str) -> str:
    """A queue for dead letters, so that a test can wait for a death; consumed on channel 1."""
    grave = client.declare(f"{name}-grave")
    client.consume(grave, no_ack=True)
    return grave


def mortal(grave: str, ttl_ms: int | None = None, **more: tuple[str, Any]) -> TypedTable:
    """Return arguments of a queue whose dead go to ``grave``."""
    table: dict[str, tuple[str, Any]] = {
        "x-dead-letter-exchange": ("S", ""),
        "x-dead-letter-routing-key": ("S", grave),
    }
    if ttl_ms is not None:
        table["x-message-ttl"] = ("I", ttl_ms)
    return table | more


def expiring(ttl_ms: int) -> bytes:
    return properties(expiration=str(ttl_ms))


def test_a_queues_messages_expire(client: RawClient, name: str, grave: str) -> None:
    client.declare(name, mortal(grave, 50))
    start = time.monotonic()
    client.publish(name, b"1", b"2")
    assert client.delivers(2) == [b"1", b"2"]
    assert time.monotonic() - start >= 0.05
    assert client.counts(name)[0] == 0


def test_a_message_may_say_itself_how_long(client: RawClient, name: str, grave: str) -> None:
    client.declare(name, mortal(grave))
    start = time.monotonic()
    client.publish(name, b"1", header=expiring(50))
    assert client.deliver().body == b"1"
    assert time.monotonic() - start >= 0.05


@pytest.mark.parametrize(("queue_ms", "message_ms"), [(50, 60_000), (60_000, 50)])
def test_the_smaller_time_counts(
    client: RawClient, name: str, grave: str, queue_ms: int, message_ms: int
) -> None:
    client.declare(name, mortal(grave, queue_ms))
    client.publish(name, b"1", header=expiring(message_ms))
    assert client.deliver().body == b"1"


def test_a_message_without_a_time_stays(client: RawClient, name: str, grave: str) -> None:
    client.declare(name, mortal(grave))
    client.publish(name, b"1", header=expiring(20))
    assert client.deliver().body == b"1"
    client.publish(name, b"stays")
    client.publish(name, b"2", header=expiring(20))
    assert client.counts(name)[0] >= 1
    assert client.get_all(name)[:1] == [b"stays"]


@ANYWHERE
def test_a_message_expires_behind_others(client: RawClient, name: str, grave: str) -> None:
    client.declare(name, mortal(grave))
    client.publish(name, b"stays")
    client.publish(name, b"late", header=expiring(120))
    client.publish(name, b"soon", header=expiring(40))
    assert client.delivers(2) == [b"soon", b"late"]
    assert client.counts(name)[0] == 1
    assert client.get_all(name) == [b"stays"]


@ANYWHERE
def test_messages_expire_in_an_ordinary_queue_that_had_others_first(
    client: RawClient, name: str
) -> None:
    client.declare(name)
    client.publish(name, b"1", b"2")
    client.publish(name, b"x", header=expiring(0))
    client.publish(name, b"3")
    assert client.counts(name)[0] == 3
    assert client.get_all(name) == [b"1", b"2", b"3"]


@pytest.mark.parametrize("header", [bytes(2), expiring(60_000)])
def test_no_time_at_all_means_at_once_or_never(
    client: RawClient, name: str, grave: str, header: bytes
) -> None:
    # The idiom for "immediate": delivered if somebody is there, otherwise dead.
    client.declare(name, mortal(grave, 0))
    client.publish(name, b"1", header=header)
    assert client.deliver().body == b"1"
    client.open_channel(2)
    client.consume(name, channel=2, no_ack=True)
    client.publish(name, b"2", header=header)
    assert client.deliver(2).body == b"2"


def test_no_time_at_all_for_one_message(client: RawClient, name: str, grave: str) -> None:
    client.declare(name, mortal(grave))
    client.publish(name, b"1", b"2", header=expiring(0))
    assert client.delivers(2) == [b"1", b"2"]


def test_what_is_unsettled_does_not_expire(client: RawClient, name: str, grave: str) -> None:
    client.declare(name, mortal(grave, 60))
    client.publish(name, b"held", b"ready")
    held = client.get(name, no_ack=False)
    assert held is not None
    assert client.deliver().body == b"ready"
    client.ack(held.tag)
    assert client.is_quiet(name)


def test_a_requeued_message_keeps_its_deadline(client: RawClient, name: str, grave: str) -> None:
    # A6.19: it is long past when the message comes back.
    client.declare(name, mortal(grave, 60))
    client.publish(name, b"held", b"ready")
    held = client.get(name, no_ack=False)
    assert held is not None
    assert client.deliver().body == b"ready"
    client.reject(held.tag, requeue=True)
    assert client.deliver().body == b"held"


def test_a_requeued_message_expires_later(client: RawClient, name: str, grave: str) -> None:
    client.declare(name, mortal(grave, 100))
    start = time.monotonic()
    client.publish(name, b"held")
    held = client.get(name, no_ack=False)
    assert held is not None
    client.reject(held.tag, requeue=True)
    assert client.deliver().body == b"held"
    assert 0.1 <= time.monotonic() - start < 4


def test_queues_share_messages_but_not_deadlines(client: RawClient, name: str, grave: str) -> None:
    client.declare(f"{name}-1", mortal(grave, 40))
    client.declare(f"{name}-2", mortal(grave, 60_000))
    client.declare(f"{name}-3")
    for number in (1, 2, 3):
        client.bind(f"{name}-{number}", "amq.direct", name)
    client.publish(name, b"x", exchange="amq.direct")
    assert client.deliver().body == b"x"
    assert [client.counts(f"{name}-{number}")[0] for number in (1, 2, 3)] == [0, 1, 1]


def test_expired_messages_make_room(client: RawClient, name: str, grave: str) -> None:
    limit: dict[str, tuple[str, Any]] = {
        "x-max-length": ("I", 1),
        "x-overflow": ("S", "reject-publish"),
    }
    client.declare(name, mortal(grave, 50, **limit))
    client.publish(name, b"1", b"refused")
    assert client.deliver().body == b"1"
    client.publish(name, b"2")
    assert client.deliver().body == b"2"


def test_many_expire_together(connect: Connect, client: RawClient, name: str, grave: str) -> None:
    bodies = [b"%04d" % number for number in range(5000)]
    publisher = connect()
    publisher.declare(name, mortal(grave, 100))
    publisher.publish(name, *bodies)
    assert client.delivers(5000) == bodies


def test_a_consumer_that_comes_late_gets_nothing(client: RawClient, name: str, grave: str) -> None:
    client.declare(name, mortal(grave, 30))
    client.publish(name, b"1")
    assert client.deliver().body == b"1"
    client.open_channel(2)
    client.consume(name, channel=2)
    assert client.is_quiet(name, 2)


@pytest.mark.parametrize("value", [("I", -1), ("S", "5"), ("l", 315_360_000_001)])
def test_a_time_must_be_one(client: RawClient, name: str, value: tuple[str, Any]) -> None:
    command = commands.Queue.Declare(queue=name)
    client.send_command(command, arguments={"x-message-ttl": value})
    close = client.read(commands.Channel.Close)
    assert close.reply_code == 406
    assert close.reply_text is not None
    assert f"invalid arg 'x-message-ttl' for queue '{name}'" in close.reply_text
