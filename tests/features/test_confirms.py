"""Publisher confirms (FEATURES A5.12-A5.15, T9, T10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import commands

from tests.amqp_bytes import properties

if TYPE_CHECKING:
    from tests.features.conftest import Connect
    from tests.raw_client import RawClient

SELECT = (85, 10)
PERSISTENT = properties(delivery_mode=2)


def select(client: RawClient) -> None:
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)


def expect_confirms(client: RawClient, first: int, last: int) -> dict[int, str]:
    """Read confirms until all tags are settled; check that each was outstanding (T10)."""
    outstanding = set(range(first, last + 1))
    settled: dict[int, str] = {}
    while outstanding:
        command = client.read_frame().command
        assert isinstance(command, commands.Basic.Ack | commands.Basic.Nack)
        tag = command.delivery_tag
        assert tag in outstanding
        tags = {t for t in outstanding if t <= tag} if command.multiple else {tag}
        settled |= dict.fromkeys(tags, command.name)
        outstanding -= tags
    return settled


def test_every_publish_is_confirmed_once(client: RawClient, queue: str) -> None:
    select(client)
    client.publish(queue, *[b"body"] * 100)
    assert set(expect_confirms(client, 1, 100).values()) == {"Basic.Ack"}
    client.publish(queue, b"more")
    expect_confirms(client, 101, 101)
    assert client.is_quiet(queue)


def test_select_is_idempotent_and_does_not_restart_the_count(client: RawClient, queue: str) -> None:
    # A5.12
    select(client)
    client.publish(queue, b"one")
    expect_confirms(client, 1, 1)
    select(client)
    client.publish(queue, b"two")
    expect_confirms(client, 2, 2)


def test_publishes_before_select_do_not_count(client: RawClient, queue: str) -> None:
    client.publish(queue, b"before", b"before")
    select(client)
    client.publish(queue, b"one")
    expect_confirms(client, 1, 1)


def test_each_channel_counts_for_itself(client: RawClient, queue: str) -> None:
    client.open_channel(2)
    select(client)
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk, 2)
    client.publish(queue, b"one", b"two")
    client.publish(queue, b"one", channel=2)
    expect_confirms(client, 1, 2)
    assert client.read(commands.Basic.Ack, 2).delivery_tag == 1


def test_nowait_select_has_no_answer(client: RawClient, queue: str) -> None:
    client.send_command(commands.Confirm.Select(nowait=True))
    client.publish(queue, b"one")
    expect_confirms(client, 1, 1)


def test_select_on_a_transactional_channel_is_an_error(client: RawClient) -> None:
    client.call(commands.Tx.Select(), commands.Tx.SelectOk)
    client.send_command(commands.Confirm.Select())
    text = "PRECONDITION_FAILED - cannot switch from tx to confirm mode"
    client.expect_channel_error(406, text, SELECT)


def test_an_unroutable_message_is_confirmed(client: RawClient, name: str) -> None:
    # A5.13
    select(client)
    client.publish(name, b"lost")
    expect_confirms(client, 1, 1)


def test_a_return_comes_before_its_confirm(client: RawClient, name: str) -> None:
    # A5.5, T9
    select(client)
    client.publish(name, b"lost", mandatory=True, header=properties(message_id="id-1"))
    returned = client.read_message(commands.Basic.Return)
    assert returned.properties.message_id == "id-1"
    expect_confirms(client, 1, 1)


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "transient"])
def test_persistent_messages_are_confirmed(client: RawClient, name: str, durable: bool) -> None:
    client.declare(name, durable=durable)
    select(client)
    client.publish(name, *[b"body"] * 50, header=PERSISTENT)
    assert set(expect_confirms(client, 1, 50).values()) == {"Basic.Ack"}


def test_a_message_to_many_queues_is_confirmed_once(client: RawClient, name: str) -> None:
    for number in range(5):
        client.declare(f"{name}-{number}", durable=number % 2 == 0)
        client.bind(f"{name}-{number}", "amq.direct", name)
    select(client)
    client.publish(name, b"one", exchange="amq.direct", header=PERSISTENT)
    expect_confirms(client, 1, 1)
    assert client.is_quiet(f"{name}-0")
    assert [client.counts(f"{name}-{number}")[0] for number in range(5)] == [1] * 5


def test_mixed_publishes_are_all_confirmed(client: RawClient, name: str) -> None:
    # Persistent, transient and unroutable in turn: tags may settle out of order, none twice.
    client.declare(name, durable=True)
    select(client)
    for _ in range(30):
        client.publish(name, b"persistent", header=PERSISTENT)
        client.publish(name, b"transient")
        client.publish(f"{name}-nobody", b"lost")
    assert set(expect_confirms(client, 1, 90).values()) == {"Basic.Ack"}


def test_a_message_is_confirmed_though_a_consumer_took_it(client: RawClient, name: str) -> None:
    client.open_channel(2)
    client.declare(name, durable=True)
    client.consume(name, channel=2, no_ack=True)
    select(client)
    client.publish(name, b"one", header=PERSISTENT)
    expect_confirms(client, 1, 1)
    assert client.deliver(2).body == b"one"


def test_a_refused_message_is_nacked(client: RawClient, name: str) -> None:
    # A5.14: the other queue keeps its copy.
    client.declare(name, {"x-max-length": ("I", 1), "x-overflow": ("S", "reject-publish")})
    client.declare(f"{name}-other")
    for queue in (name, f"{name}-other"):
        client.bind(queue, "amq.direct", name)
    select(client)
    client.publish(name, b"one", exchange="amq.direct")
    assert expect_confirms(client, 1, 1) == {1: "Basic.Ack"}
    client.publish(name, b"two", exchange="amq.direct")
    assert expect_confirms(client, 2, 2) == {2: "Basic.Nack"}
    assert client.get_all(name) == [b"one"]
    assert client.get_all(f"{name}-other") == [b"one", b"two"]


def test_no_confirm_follows_a_channel_close(client: RawClient, queue: str, name: str) -> None:
    # A5.15
    select(client)
    client.publish("key", b"lost", exchange=f"{name}-missing")
    client.publish(queue, *[b"dropped"] * 20)
    where = client.resource("exchange", f"{name}-missing")
    client.expect_channel_error(404, f"NOT_FOUND - no {where}", (60, 40))
    client.open_channel()
    assert client.counts(queue) == (0, 0)
    assert client.is_quiet(queue)


def test_a_confirmed_message_is_seen_by_others(connect: Connect, name: str) -> None:
    publisher, other = connect(), connect()
    publisher.declare(name)
    select(publisher)
    publisher.publish(name, b"one")
    expect_confirms(publisher, 1, 1)
    assert other.get_all(name) == [b"one"]
