"""Priorities of messages: x-max-priority (FEATURES A9.8, A9.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import commands

from tests.amqp_bytes import properties

if TYPE_CHECKING:
    from tests.amqp_bytes import TypedTable
    from tests.raw_client import RawClient


def levels(highest: int) -> TypedTable:
    return {"x-max-priority": ("I", highest)}


def publish(client: RawClient, queue: str, *bodies: str) -> None:
    """Publish bodies such as ``3b``: the digit is the priority, ``-`` is none."""
    for body in bodies:
        header = bytes(2) if body[0] == "-" else properties(priority=int(body[0]))
        client.publish(queue, body.encode(), header=header)


def got(client: RawClient, queue: str) -> str:
    return b" ".join(client.get_all(queue)).decode()


@pytest.fixture
def queue(client: RawClient, name: str) -> str:
    """The name of a queue with priorities up to 5."""
    return client.declare(name, levels(5))


def test_higher_priorities_go_first(client: RawClient, queue: str) -> None:
    publish(client, queue, "1a", "3a", "0a", "5a", "3b", "1b", "5b")
    assert got(client, queue) == "5a 5b 3a 3b 1a 1b 0a"


def test_none_is_the_lowest(client: RawClient, queue: str) -> None:
    publish(client, queue, "-a", "0a", "-b", "1a")
    assert got(client, queue) == "1a -a 0a -b"


def test_too_high_is_the_highest(client: RawClient, queue: str) -> None:
    publish(client, queue, "5a", "9a", "5b")
    client.publish(queue, b"255", header=properties(priority=255))
    assert got(client, queue) == "5a 9a 5b 255"


def test_a_queue_without_priorities_ignores_them(client: RawClient, name: str) -> None:
    publish(client, client.declare(name), "1a", "9a", "0a")
    assert got(client, name) == "1a 9a 0a"


def test_no_level_is_an_ordinary_queue(client: RawClient, name: str) -> None:
    publish(client, client.declare(name, levels(0)), "1a", "9a", "0a")
    assert got(client, name) == "1a 9a 0a"


@pytest.mark.parametrize("highest", [1, 10, 255])
def test_any_number_of_levels(client: RawClient, name: str, highest: int) -> None:
    client.declare(name, levels(highest))
    priorities = [0, highest, 1, highest // 2, highest, 0]
    for priority in priorities:
        client.publish(name, b"%d" % priority, header=properties(priority=priority))
    assert [int(body) for body in client.get_all(name)] == sorted(priorities, reverse=True)


def test_a_requeued_message_keeps_its_level_and_place(client: RawClient, queue: str) -> None:
    publish(client, queue, "1a", "1b", "3a", "3b", "3c")
    held = [client.get(queue, no_ack=False) for _ in range(4)]
    assert [message and message.body for message in held] == [b"3a", b"3b", b"3c", b"1a"]
    publish(client, queue, "5a", "3d", "0a")
    for message in (held[1], held[3], held[0]):
        assert message is not None
        client.reject(message.tag, requeue=True)
    assert got(client, queue) == "5a 3a 3b 3d 1a 1b 0a"


def test_a_prefetch_hides_priorities(client: RawClient, queue: str) -> None:
    # What a consumer holds it keeps, however urgent the next message is.
    client.call(commands.Basic.Qos(prefetch_count=1), commands.Basic.QosOk)
    client.consume(queue)
    publish(client, queue, "1a", "1b", "5a")
    first = client.deliver()
    assert first.body == b"1a"
    assert client.is_quiet(queue)
    client.ack(first.tag)
    assert client.deliver().body == b"5a"


def test_the_head_that_makes_room_is_the_highest(client: RawClient, name: str) -> None:
    # A9.5: surprising, but so it is on RabbitMQ.
    client.declare(name, {**levels(5), "x-max-length": ("I", 2)})
    publish(client, name, "1a", "5a", "1b")
    assert got(client, name) == "1a 1b"


def test_a_refusing_queue_refuses_the_new_one(client: RawClient, name: str) -> None:
    limit = {"x-max-length": ("I", 2), "x-overflow": ("S", "reject-publish")}
    client.declare(name, {**levels(5), **limit})
    publish(client, name, "1a", "1b", "5a")
    assert got(client, name) == "1a 1b"


@pytest.mark.deviates("RabbitMQ expires messages only at the head")
def test_messages_of_any_level_expire(client: RawClient, name: str) -> None:
    grave = client.declare(f"{name}-grave")
    client.consume(grave, no_ack=True)
    dead = {"x-dead-letter-exchange": ("S", ""), "x-dead-letter-routing-key": ("S", grave)}
    client.declare(name, {**levels(5), **dead})
    for priority in (0, 5):
        header = properties(priority=priority, expiration="40")
        client.publish(name, b"%d" % priority, header=header)
    publish(client, name, "3a")
    assert sorted(client.delivers(2)) == [b"0", b"5"]
    assert got(client, name) == "3a"


def test_a_purge_empties_all_levels(client: RawClient, queue: str) -> None:
    publish(client, queue, "1a", "5a", "0a")
    purged = client.call(commands.Queue.Purge(queue=queue), commands.Queue.PurgeOk)
    assert purged.message_count == 3
    assert got(client, queue) == ""


@pytest.mark.parametrize(
    ("value", "wrong"),
    [(("I", 256), "{max_value_exceeded,256}"), (("I", -1), "{value_negative,-1}")],
)
def test_levels_have_bounds(
    client: RawClient, name: str, value: tuple[str, int], wrong: str
) -> None:
    client.send_command(commands.Queue.Declare(queue=name), arguments={"x-max-priority": value})
    where = client.resource("queue", name)
    text = f"PRECONDITION_FAILED - invalid arg 'x-max-priority' for {where}: {wrong}"
    client.expect_channel_error(406, text, (50, 10))
