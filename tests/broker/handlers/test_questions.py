"""Permissions that are asked elsewhere: the method begins again when there is an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pamqp import commands

from amqpbroker.auth.backends.backend import Unanswered
from amqpbroker.auth.principal import Principal
from amqpbroker.errors import SoftError
from amqpbroker.management.direct import DirectSession
from amqpbroker.wire.content import Publication
from tests.amqp_bytes import command_frame, content_frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.broker.client import MemoryClient


class Elsewhere:
    """Knows nothing until it was asked; ``denied`` are the questions it says no to."""

    is_remote = True

    def __init__(self) -> None:
        self.answers: dict[tuple[str, ...], bool] = {}
        self.denied: set[tuple[str, ...]] = set()
        self.on_ask: Callable[[], None] = lambda: None

    def _answer(self, *question: str) -> bool:
        if question not in self.answers:

            async def ask() -> None:
                self.on_ask()
                self.answers[question] = question not in self.denied

            raise Unanswered(ask)
        return self.answers[question]

    def may_enter(self, vhost: str) -> bool:
        return self._answer(vhost)

    def may_use(self, vhost: str, *question: str) -> bool:
        return self._answer(*question)

    def may_use_topic(
        self, vhost: str, exchange: str, key: str, permission: str, _: object
    ) -> bool:
        return self._answer(exchange, key, permission)

    async def renew(self, secret: bytes) -> None:
        return None


@pytest.fixture
def elsewhere(client: MemoryClient) -> Elsewhere:
    """Who knows what ``client`` may do."""
    authority = Elsewhere()
    client.session.principal = Principal("ann", (), (authority,))
    return authority


async def send(client: MemoryClient, *frames: bytes) -> None:
    await client.session.receive(b"".join(frames))
    client.broker.flush()


def declare(name: str = "", **options: Any) -> bytes:
    return command_frame(commands.Queue.Declare(queue=name, **options), 1)


async def test_a_method_waits_for_the_answer(client: MemoryClient, elsewhere: Elsewhere) -> None:
    await send(client, declare("q"))
    assert client.read(commands.Queue.DeclareOk).queue == "q"
    assert elsewhere.answers == {("queue", "q", "configure"): True}
    await send(client, declare("q", passive=True))
    assert client.read(commands.Queue.DeclareOk).queue == "q"


async def test_no_is_told_as_by_any_other_backend(
    client: MemoryClient, elsewhere: Elsewhere
) -> None:
    elsewhere.denied.add(("queue", "q", "configure"))
    await send(client, declare("q"))
    close = client.read(commands.Channel.Close)
    assert close.reply_text == (
        "ACCESS_REFUSED - configure access to queue 'q' in vhost '/' refused for user 'ann'"
    )


async def test_a_queue_without_a_name_is_named_once(
    client: MemoryClient, elsewhere: Elsewhere
) -> None:
    await send(client, declare(), declare())
    names = [client.read(commands.Queue.DeclareOk).queue for _ in range(2)]
    assert list(elsewhere.answers) == [("queue", name, "configure") for name in names]


async def test_every_key_of_a_message_is_asked_and_it_is_routed_once(
    client: MemoryClient, other: MemoryClient, elsewhere: Elsewhere
) -> None:
    other.declare("q")
    other.bind("q", "amq.topic", "#")
    header = commands.Basic.Properties(headers={"CC": ["b", "c"]}).marshal()
    method = commands.Basic.Publish(exchange="amq.topic", routing_key="a")
    await send(client, command_frame(method, 1), content_frames(1, b"1", header))
    assert list(elsewhere.answers) == [
        ("exchange", "amq.topic", "write"),
        ("amq.topic", "a", "write"),
        ("amq.topic", "b", "write"),
        ("amq.topic", "c", "write"),
    ]
    assert len(other.queue("q").ready) == 1


async def test_what_came_before_is_sent_before_it_asks(
    client: MemoryClient, other: MemoryClient, elsewhere: Elsewhere
) -> None:
    other.declare("known")
    other.consume("known")
    elsewhere.answers["exchange", "amq.default", "write"] = True
    seen: list[bytes] = []
    elsewhere.on_ask = lambda: seen.append(other.deliver().body)
    publish = command_frame(commands.Basic.Publish(routing_key="known"), 1)
    await send(client, publish, content_frames(1, b"1", b"\0\0"), declare("q"))
    assert seen == [b"1"]


async def test_nothing_begins_again_after_the_end(
    client: MemoryClient, elsewhere: Elsewhere
) -> None:
    elsewhere.on_ask = lambda: client.session.force_close("enough")
    await send(client, declare("q"), declare("r"))
    assert client.read_close(320)[1] == "CONNECTION_FORCED - enough"
    assert not client.broker.vhosts["/"].queues


async def test_the_management_api_waits_as_well(client: MemoryClient) -> None:
    authority = Elsewhere()
    authority.denied.add(("queue", "q", "read"))
    broker = client.broker
    session = DirectSession(broker, Principal("ann", (), (authority,)), broker.vhosts["/"])
    assert not await session.publish(
        Publication("", "nowhere", raw_properties=b"\0\0", properties={}, body_size=1), b"x"
    )
    await session.permit("queue", "p", "read")
    with pytest.raises(SoftError, match="read access to queue 'q'"):
        await session.permit("queue", "q", "read")
    session.finish()
