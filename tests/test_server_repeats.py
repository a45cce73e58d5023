"""Messages like the last, one in a read: handled without waking the reader, by the same rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import commands

from amqpbroker.broker import rates
from amqpbroker.broker.session import Session
from amqpbroker.turns import READ_SIZE_MIN
from tests.test_server import Running, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.raw_client import RawClient


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def waking(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Running, list[bytes]]]:
    """A server, and all that its readers were woken for."""
    read: list[bytes] = []
    receive = Session.receive

    async def noted(session: Session, data: bytes) -> None:
        read.append(data)
        await receive(session, data)

    monkeypatch.setattr(Session, "receive", noted)
    with serve(request.param) as running:
        yield running, read


def publisher_of(running: Running) -> tuple[RawClient, RawClient]:
    """Return a publisher whose next message to "q" is like its last, and a consumer there."""
    publisher, consumer = running.connect(), running.connect()
    consumer.consume(consumer.declare("q"), no_ack=True)
    publisher.publish("q", b"0")
    assert consumer.deliver().body == b"0"
    publisher.counts("q")  # its reader waits again
    return publisher, consumer


def test_a_message_like_the_last_wakes_no_reader(waking: tuple[Running, list[bytes]]) -> None:
    running, read = waking
    publisher, consumer = publisher_of(running)
    read.clear()
    for body in (b"1", b"2", b"3"):
        publisher.publish("q", body)
        assert consumer.deliver().body == body
    assert not read
    publisher.publish("q", b"other")
    assert consumer.deliver().body == b"other"
    assert len(read) == 1


def test_its_publisher_waits_for_an_alarm_as_any(waking: tuple[Running, list[bytes]]) -> None:
    running, read = waking
    publisher, consumer = publisher_of(running)
    alarms = running.server.broker.alarms
    running.call(alarms.set, "memory", "test", True)
    read.clear()
    publisher.publish("q", b"1")
    assert consumer.deliver().body == b"1"
    assert publisher.read(commands.Connection.Blocked, 0).reason == "low on memory"
    assert read == [b""], "there is nothing left to do but to wait"
    publisher.publish("q", b"2")
    assert consumer.counts("q") == (0, 1)
    running.call(alarms.set, "memory", "test", False)
    publisher.read(commands.Connection.Unblocked, 0)
    assert consumer.deliver().body == b"2"


@pytest.mark.parametrize(
    ("limit", "rate"), [("max-publish-rate", 0), ("max-publish-bytes-rate", 1)]
)
def test_its_publisher_is_charged_as_any(
    waking: tuple[Running, list[bytes]],
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    rate: int,
) -> None:
    monkeypatch.setattr(rates, "WAIT_S_MAX", 0.01)
    running, _ = waking
    publisher, consumer = publisher_of(running)
    running.server.broker.vhosts["/"].limits[limit] = rate
    publisher.publish("q", b"1")
    assert consumer.deliver().body == b"1"
    publisher.publish("q", b"2")
    assert consumer.counts("q") == (0, 1)
    running.server.broker.vhosts["/"].limits.clear()
    assert consumer.deliver().body == b"2"


def test_a_large_message_is_a_turn_of_its_own(waking: tuple[Running, list[bytes]]) -> None:
    running, read = waking
    publisher, consumer = running.connect(), running.connect()
    consumer.consume(consumer.declare("q"), no_ack=True)
    for last in (b"1", b"2"):
        read.clear()
        publisher.publish("q", bytes(READ_SIZE_MIN) + last)
        assert consumer.deliver().body[-1:] == last
        assert read
