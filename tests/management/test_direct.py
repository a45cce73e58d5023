"""A session without a socket."""

from __future__ import annotations

import pytest

from amqpbroker.auth.backends.internal import InternalAuthority
from amqpbroker.auth.principal import Principal
from amqpbroker.auth.users import ALL
from amqpbroker.broker.broker import Broker
from amqpbroker.broker.vhost import VHost
from amqpbroker.config import Config
from amqpbroker.errors import SoftError
from amqpbroker.management.direct import DirectSession
from amqpbroker.management.errors import ApiError
from amqpbroker.wire.content import Publication
from amqpbroker.wire.methods import QueueDeclare, QueueDelete


@pytest.fixture
def local() -> Broker:
    broker = Broker(Config(is_memory=True))
    broker.users.add_user("me", None)
    broker.users.set_permissions("me", "/", ALL)
    return broker


@pytest.fixture
def vhost() -> VHost:
    return VHost("/")


@pytest.fixture
def session(local: Broker, vhost: VHost) -> DirectSession:
    return DirectSession(local, Principal("me", (), (InternalAuthority(local.users, "me"),)), vhost)


def declare(name: str, *, exclusive: bool = False) -> QueueDeclare:
    return QueueDeclare(
        0,
        name,
        passive=False,
        durable=False,
        exclusive=exclusive,
        auto_delete=False,
        nowait=False,
        arguments={},
    )


async def test_it_declares_as_a_client_does(session: DirectSession, vhost: VHost) -> None:
    await session.ask(declare("q"))
    assert vhost.queues["q"].owner is None
    await session.ask(QueueDelete(0, "q", if_unused=False, if_empty=False, nowait=False))
    assert "q" not in vhost.queues


async def test_errors_are_raised(session: DirectSession) -> None:
    with pytest.raises(SoftError, match="reserved prefix"):
        await session.ask(declare("amq.q"))


async def test_what_amqp_cannot_say_is_refused(session: DirectSession) -> None:
    with pytest.raises(ApiError):
        await session.ask(declare("é" * 128))
    with pytest.raises(ApiError):
        await session.ask(declare("\ud800"))


async def test_publishing_tells_whether_a_queue_took_it(session: DirectSession) -> None:
    await session.ask(declare("q"))
    assert await session.publish(Publication.of("", "q", {}, 1), b"x")


async def test_publishing_to_nobody(session: DirectSession) -> None:
    assert not await session.publish(Publication.of("", "nope", {}, 1), b"x")


async def test_what_was_taken_goes_back_at_the_end(session: DirectSession, vhost: VHost) -> None:
    await session.ask(declare("q"))
    await session.publish(Publication.of("", "q", {}, 1), b"x")
    queue = vhost.queues["q"]
    assert [body async for _, body in session.take(queue, 5)] == [b"x"]
    assert (len(queue.ready), queue.unsettled_count) == (0, 1)
    session.finish()
    assert (len(queue.ready), queue.unsettled_count) == (1, 0)


@pytest.mark.parametrize(("outcome", "left"), [("ack", 0), ("drop", 0), ("requeue", 1)])
async def test_settling(session: DirectSession, vhost: VHost, outcome: str, left: int) -> None:
    await session.ask(declare("q"))
    await session.publish(Publication.of("", "q", {}, 1), b"x")
    queue = vhost.queues["q"]
    assert [body async for _, body in session.take(queue, 1)] == [b"x"]
    session.settle(outcome)
    session.settle(outcome)
    assert (len(queue.ready), queue.unsettled_count) == (left, 0)
