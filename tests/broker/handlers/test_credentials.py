"""Credentials that end, and new ones (FEATURES A1.14, A15.6)."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from pamqp import commands

from amqpbroker.auth.backends.backend import Grant
from amqpbroker.auth.exceptions import AuthenticationFailed
from amqpbroker.auth.principal import Principal
from amqpbroker.broker.broker import Broker
from amqpbroker.broker.handlers.credentials import watch
from amqpbroker.broker.timers import Clock as TimersClock
from amqpbroker.config import Config
from amqpbroker.errors import SoftError
from tests.broker.client import connect
from tests.broker.clock import Clock

NEW = commands.Connection.UpdateSecret


@dataclass
class Readable:
    """May do all but read other queues than these; a new secret is the list of them."""

    queues: tuple[str, ...]
    expires_at_s: int | None = None
    is_remote = False

    def may_enter(self, vhost: str) -> bool:
        return bool(self.queues)

    def may_use(self, _vhost: str, _kind: str, name: str, permission: str) -> bool:
        return permission != "read" or name in self.queues

    def may_use_topic(self, *question: object) -> bool:
        return True

    async def renew(self, secret: bytes) -> Grant | None:
        if secret == b"bad":
            raise AuthenticationFailed("ann", "it is bad")
        names, _, end = secret.decode().partition("@")
        ends = int(end) if end else None
        return Grant("ann", Readable(tuple(names.split()), ends), ("new",), ends)


class World:
    """A client that may read ``a`` and ``b`` until second 100."""

    def __init__(self) -> None:
        self.clock = Clock()
        wall = TimersClock(self.clock, lambda: int(self.clock.now * 1000))
        self.broker = Broker(Config(is_memory=True), clock=wall)
        self.broker.add_defaults()
        self.client = connect(self.broker)
        self.client.session.principal = Principal("ann", (), (Readable(("a", "b")),), 100)
        watch(self.client.session)

    def to(self, now: float) -> None:
        self.clock.now = now
        self.broker.timers.fire()

    def update(self, secret: str) -> None:
        self.client.send_command(NEW(secret, "it was time"), 0)


@pytest.fixture
def world() -> World:
    return World()


def test_a_connection_ends_with_its_credentials(world: World) -> None:
    world.to(99.9)
    assert not world.client.session.is_finished
    world.to(100)
    assert world.client.read_close(320)[1] == "CONNECTION_FORCED - credential expired"


def test_credentials_that_have_ended_already(world: World) -> None:
    world.clock.now = 200
    watch(world.client.session)
    world.broker.timers.fire()
    world.client.read_close(320)


def test_most_credentials_do_not_end() -> None:
    broker = Broker(Config(is_memory=True))
    broker.add_defaults()
    before = len(broker.timers)
    connect(broker)
    assert len(broker.timers) == before


def test_who_leaves_leaves_no_timer(world: World) -> None:
    world.client.close()
    assert len(world.broker.timers) == 0


def test_a_new_secret_moves_the_end(world: World) -> None:
    world.update("a b@200")
    world.client.read(commands.Connection.UpdateSecretOk, 0)
    world.to(199)
    assert not world.client.session.is_finished
    assert world.client.session.principal == Principal("ann", ("new",))
    world.to(200)
    world.client.read_close(320)


def test_a_bad_secret_ends_the_connection(world: World) -> None:
    world.update("bad")
    assert world.client.read_close(530)[1:] == (
        "NOT_ALLOWED - New secret was refused by one of the backends",
        10,
        70,
    )


def test_a_secret_for_another_vhost_ends_the_connection(world: World) -> None:
    world.update("")
    assert world.client.read_close(530)[1] == (
        "NOT_ALLOWED - access to vhost '/' refused for user 'ann'"
    )


def test_consumers_that_may_not_read_any_more_are_cancelled(world: World) -> None:
    # As RabbitMQ 4.3 does.
    client = world.client
    for name in ("a", "b"):
        client.declare(name)
        client.consume(name, tag=name)
    world.update("b")
    assert client.read(commands.Basic.Cancel).consumer_tag == "a"
    client.read(commands.Connection.UpdateSecretOk, 0)
    client.publish("a", b"kept")
    client.publish("b", b"read")
    assert client.messages() == [b"read"]
    assert len(client.queue("a").ready) == 1


def test_what_was_remembered_is_asked_again(world: World) -> None:
    client = world.client
    client.declare("a")
    assert client.get("a") is None
    world.update("b")
    client.read(commands.Connection.UpdateSecretOk, 0)
    client.send_command(commands.Basic.Get(queue="a"), 1)
    assert client.read(commands.Channel.Close).reply_code == 403


def test_a_password_is_checked_at_login_only() -> None:
    broker = Broker(Config(is_memory=True))
    broker.add_defaults()
    client = connect(broker)
    client.send_command(NEW("anything", "because"), 0)
    client.read(commands.Connection.UpdateSecretOk, 0)


def test_what_a_service_permits_is_asked_again_in_time(world: World) -> None:
    session = world.client.session
    remote = Readable(("a",))
    remote.is_remote = True
    session.principal = Principal("ann", (), (remote,))
    watch(session)
    session.check("queue", "a", "read")
    remote.queues = ("b",)
    world.to(14.9)
    session.check("queue", "a", "read")
    for now in (15, 30):
        world.to(now)
        with pytest.raises(SoftError, match="403"):
            session.check("queue", "a", "read")
    world.client.close()
    assert len(world.broker.timers) == 0
