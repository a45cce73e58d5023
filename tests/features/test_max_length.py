"""Limits of a queue: x-max-length, x-max-length-bytes, x-overflow (FEATURES A9.4-A9.7, A5.14)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pamqp import commands

from tests.amqp_bytes import properties

if TYPE_CHECKING:
    from tests.amqp_bytes import TypedTable
    from tests.features.conftest import Connect
    from tests.raw_client import RawClient

FIVE = [b"1", b"2", b"3", b"4", b"5"]
REFUSING = ["reject-publish", "reject-publish-dlx"]


def limited(overflow: str | None = None, **limits: int) -> TypedTable:
    """Return arguments: ``length`` messages, ``size`` bytes."""
    names = {"length": "x-max-length", "size": "x-max-length-bytes"}
    table: dict[str, tuple[str, Any]] = {names[name]: ("I", limits[name]) for name in limits}
    return table | ({"x-overflow": ("S", overflow)} if overflow else {})


def outcomes(client: RawClient, count: int) -> list[str]:
    """Return what became of the next ``count`` publishes, in their order."""
    settled: dict[int, str] = {}
    while len(settled) < count:
        command: Any = client.read_frame().command
        tag, multiple = command["delivery_tag"], command["multiple"]
        for number in range(1, tag + 1) if multiple else [tag]:
            settled.setdefault(number, command.name)
    return [settled[number] for number in sorted(settled)]


def test_the_head_makes_room(client: RawClient, name: str) -> None:
    client.declare(name, limited(length=2))
    client.publish(name, *FIVE)
    assert client.get_all(name) == FIVE[3:]


def test_drop_head_is_the_default_by_name_too(client: RawClient, name: str) -> None:
    client.declare(name, limited("drop-head", length=1))
    client.publish(name, *FIVE)
    assert client.get_all(name) == FIVE[4:]


def test_only_bytes_of_bodies_count(client: RawClient, name: str) -> None:
    client.declare(name, limited(size=7))
    for body in (b"aaa", b"bbb", b"cccc", b"d"):
        client.publish(name, body, header=properties(content_type="text/plain"))
    assert client.get_all(name) == [b"cccc", b"d"]


def test_a_message_that_is_too_large_by_itself_is_dropped(client: RawClient, name: str) -> None:
    client.declare(name, limited(size=3))
    client.publish(name, b"abc")
    client.publish(name, b"abcd")
    assert client.get_all(name) == []


def test_both_limits_hold(client: RawClient, name: str) -> None:
    client.declare(name, limited(length=2, size=4))
    client.publish(name, b"a", b"b", b"c")
    assert client.counts(name)[0] == 2
    client.publish(name, b"dddd")
    assert client.get_all(name) == [b"dddd"]


def test_a_limit_of_none_keeps_nothing(client: RawClient, name: str) -> None:
    client.declare(name, limited(length=0))
    client.publish(name, *FIVE)
    assert client.get_all(name) == []


def test_a_consumer_gets_all_in_spite_of_a_limit(client: RawClient, name: str) -> None:
    client.declare(name, limited(length=0))
    client.consume(name, no_ack=True)
    client.publish(name, b"1")
    assert client.delivers(1) == [b"1"]


def test_what_is_unsettled_does_not_count(client: RawClient, name: str) -> None:
    client.declare(name, limited(length=1))
    client.publish(name, b"1")
    held = client.get(name, no_ack=False)
    assert held is not None
    client.publish(name, b"2")
    assert client.counts(name)[0] == 1
    client.publish(name, b"3")
    assert client.get_all(name) == [b"3"]


def test_a_requeued_message_may_be_too_much(client: RawClient, name: str) -> None:
    # It returns to the head, and the head makes room.
    client.declare(name, limited(length=1))
    client.publish(name, b"1")
    held = client.get(name, no_ack=False)
    assert held is not None
    client.publish(name, b"2")
    client.reject(held.tag, requeue=True)
    assert client.get_all(name) == [b"2"]


@pytest.mark.parametrize("overflow", REFUSING)
def test_new_messages_are_refused(client: RawClient, name: str, overflow: str) -> None:
    client.declare(name, limited(overflow, length=2))
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    client.publish(name, *FIVE)
    assert outcomes(client, 5) == ["Basic.Ack"] * 2 + ["Basic.Nack"] * 3
    assert client.get_all(name) == FIVE[:2]


@pytest.mark.parametrize("overflow", REFUSING)
def test_new_bytes_are_refused(client: RawClient, name: str, overflow: str) -> None:
    client.declare(name, limited(overflow, size=4))
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    client.publish(name, b"aaa")
    client.publish(name, b"bb")
    client.publish(name, b"c")
    client.publish(name, b"")
    assert outcomes(client, 4) == ["Basic.Ack", "Basic.Nack", "Basic.Ack", "Basic.Ack"]
    assert client.get_all(name) == [b"aaa", b"c", b""]


def test_a_refused_durable_message_is_nacked(client: RawClient, name: str) -> None:
    client.declare(name, limited("reject-publish", length=1), durable=True)
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    client.publish(name, *FIVE, header=properties(delivery_mode=2))
    assert outcomes(client, 5) == ["Basic.Ack"] + ["Basic.Nack"] * 4
    client.call(commands.Queue.Delete(queue=name), commands.Queue.DeleteOk)


def test_a_refused_mandatory_message_is_not_returned(client: RawClient, name: str) -> None:
    client.declare(name, limited("reject-publish", length=0))
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    client.publish(name, b"refused", mandatory=True)
    assert outcomes(client, 1) == ["Basic.Nack"]
    assert client.is_quiet(name)


def test_without_confirms_refused_messages_are_dropped(client: RawClient, name: str) -> None:
    client.declare(name, limited("reject-publish", length=2))
    client.publish(name, *FIVE)
    assert client.get_all(name) == FIVE[:2]


def test_a_refusing_queue_takes_messages_once_there_is_room(client: RawClient, name: str) -> None:
    client.declare(name, limited("reject-publish", length=1))
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    client.publish(name, b"1", b"2")
    assert outcomes(client, 2) == ["Basic.Ack", "Basic.Nack"]
    assert client.get_all(name) == [b"1"]
    client.publish(name, b"3")
    assert client.read(commands.Basic.Ack).delivery_tag == 3
    assert client.get_all(name) == [b"3"]


def test_a_refusing_queue_hands_messages_to_consumers(connect: Connect, name: str) -> None:
    publisher, consumer = connect(), connect()
    publisher.declare(name, limited("reject-publish", length=1))
    consumer.call(commands.Basic.Qos(prefetch_count=2), commands.Basic.QosOk)
    consumer.consume(name)
    publisher.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    publisher.publish(name, *FIVE)
    assert outcomes(publisher, 5) == ["Basic.Ack"] * 3 + ["Basic.Nack"] * 2
    assert consumer.delivers(2) == FIVE[:2]
    consumer.ack(2, multiple=True)
    assert consumer.delivers(1) == FIVE[2:3]


def test_a_refusing_queue_that_holds_nothing_gives_consumers_nothing(
    client: RawClient, name: str
) -> None:
    client.declare(name, limited("reject-publish", length=0))
    client.consume(name, no_ack=True)
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    client.publish(name, b"1")
    assert outcomes(client, 1) == ["Basic.Nack"]
    assert client.is_quiet(name)


def test_requeueing_may_overfill_a_refusing_queue(client: RawClient, name: str) -> None:
    client.declare(name, limited("reject-publish", length=1))
    client.publish(name, b"1")
    held = client.get(name, no_ack=False)
    assert held is not None
    client.publish(name, b"2")
    client.reject(held.tag, requeue=True)
    assert client.counts(name)[0] == 2
    client.publish(name, b"refused")
    assert client.get_all(name) == [b"1", b"2"]


def test_a_purge_makes_room(client: RawClient, name: str) -> None:
    client.declare(name, limited("reject-publish", size=5))
    client.publish(name, b"12345", b"6")
    client.call(commands.Queue.Purge(queue=name), commands.Queue.PurgeOk)
    client.publish(name, b"abcde", b"f")
    assert client.get_all(name) == [b"abcde"]
