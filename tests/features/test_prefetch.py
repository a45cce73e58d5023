"""basic.qos (FEATURES A6.5, A6.6, T22, T23)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamqp import commands

if TYPE_CHECKING:
    from tests.raw_client import RawClient

BODIES = [b"%d" % number for number in range(10)]


def qos(client: RawClient, count: int, *, is_global: bool = False, channel: int = 1) -> None:
    command = commands.Basic.Qos(prefetch_count=count, global_=is_global)
    client.call(command, commands.Basic.QosOk, channel)


def test_a_consumer_gets_as_many_as_its_limit(client: RawClient, queue: str) -> None:
    qos(client, 3)
    client.publish(queue, *BODIES)
    client.consume(queue)
    assert client.delivers(3) == BODIES[:3]
    assert client.is_quiet(queue)


def test_each_settle_makes_room_for_one(client: RawClient, queue: str) -> None:
    qos(client, 1)
    client.publish(queue, *BODIES[:4])
    client.consume(queue)
    client.ack(client.deliver().tag)
    client.reject(client.deliver().tag, requeue=False)
    client.nack(client.deliver().tag, requeue=False)
    assert client.deliver().body == BODIES[3]
    assert client.is_quiet(queue)


def test_a_multiple_ack_makes_room_for_all(client: RawClient, queue: str) -> None:
    qos(client, 4)
    client.publish(queue, *BODIES)
    client.consume(queue)
    client.delivers(4)
    client.ack(3, multiple=True)
    assert client.delivers(3) == BODIES[4:7]
    assert client.is_quiet(queue)


def test_the_limit_counts_for_each_consumer(client: RawClient, queue: str) -> None:
    qos(client, 2)
    client.consume(queue, tag="a")
    client.consume(queue, tag="b")
    client.publish(queue, *BODIES)
    tags = [client.deliver().command["consumer_tag"] for _ in range(4)]
    assert (tags.count("a"), tags.count("b")) == (2, 2)
    assert client.is_quiet(queue)


def test_zero_is_no_limit(client: RawClient, queue: str) -> None:
    qos(client, 1)
    qos(client, 0)
    client.consume(queue)
    client.publish(queue, *BODIES)
    assert client.delivers(10) == BODIES


def test_a_new_limit_does_not_touch_existing_consumers(client: RawClient, queue: str) -> None:
    # T22
    qos(client, 1)
    client.consume(queue, tag="old")
    qos(client, 5)
    client.publish(queue, *BODIES[:3])
    assert client.deliver().body == BODIES[0]
    assert client.is_quiet(queue)
    client.consume(queue, tag="new")
    tags = [client.deliver().command["consumer_tag"] for _ in range(2)]
    assert tags == ["new", "new"]


def test_a_global_limit_is_shared_by_the_channels_consumers(client: RawClient, queue: str) -> None:
    # A6.6
    qos(client, 3, is_global=True)
    client.consume(queue, tag="a")
    client.consume(queue, tag="b")
    client.publish(queue, *BODIES)
    assert client.delivers(3) == BODIES[:3]
    assert client.is_quiet(queue)
    client.ack(1)
    assert client.deliver().body == BODIES[3]
    assert client.is_quiet(queue)


def test_a_global_limit_counts_consumers_of_several_queues(client: RawClient, name: str) -> None:
    qos(client, 2, is_global=True)
    for queue in (f"{name}-a", f"{name}-b"):
        client.declare(queue)
        client.consume(queue)
    for queue in (f"{name}-a", f"{name}-b"):
        client.publish(queue, *BODIES[:2])
    client.delivers(2)
    assert client.is_quiet(f"{name}-a")
    assert client.is_quiet(f"{name}-b")
    client.ack(2, multiple=True)
    client.delivers(2)


def test_raising_the_global_limit_takes_effect_at_once(client: RawClient, queue: str) -> None:
    # T22: Celery raises the limit while tasks with an ETA are held.
    qos(client, 1, is_global=True)
    client.publish(queue, *BODIES)
    client.consume(queue)
    assert client.delivers(1) == BODIES[:1]
    assert client.is_quiet(queue)
    qos(client, 3, is_global=True)
    assert client.delivers(2) == BODIES[1:3]
    assert client.is_quiet(queue)


def test_taking_the_global_limit_away_takes_effect_at_once(client: RawClient, queue: str) -> None:
    qos(client, 1, is_global=True)
    client.publish(queue, *BODIES)
    client.consume(queue)
    client.delivers(1)
    qos(client, 0, is_global=True)
    assert client.delivers(9) == BODIES[1:]


def test_lowering_the_global_limit_waits_for_settles(client: RawClient, queue: str) -> None:
    qos(client, 3, is_global=True)
    client.publish(queue, *BODIES)
    client.consume(queue)
    client.delivers(3)
    qos(client, 1, is_global=True)
    client.ack(1)
    client.ack(2)
    assert client.is_quiet(queue)
    client.ack(3)
    assert client.delivers(1) == BODIES[3:4]
    assert client.is_quiet(queue)


def test_both_limits_apply(client: RawClient, queue: str) -> None:
    qos(client, 2)
    qos(client, 3, is_global=True)
    client.consume(queue, tag="a")
    client.consume(queue, tag="b")
    client.publish(queue, *BODIES)
    tags = [client.deliver().command["consumer_tag"] for _ in range(3)]
    assert sorted((tags.count("a"), tags.count("b"))) == [1, 2]
    assert client.is_quiet(queue)


def takers(client: RawClient, count: int) -> str:
    """Return the tags of those who get the next messages."""
    return "".join(str(client.deliver().command["consumer_tag"]) for _ in range(count))


def test_a_global_limit_serves_who_was_passed_over(client: RawClient, queue: str) -> None:
    # A6.4: the consumer that had its message waits behind the one that found no room.
    client.consume(queue, tag="a")
    qos(client, 1, is_global=True)
    client.consume(queue, tag="b")
    client.publish(queue, *BODIES[:3])
    assert takers(client, 1) == "a"
    client.nack(1, multiple=True, requeue=False)
    assert takers(client, 1) == "b"
    client.ack(2)
    assert takers(client, 1) == "a"


def test_consumers_take_turns_under_a_global_limit(client: RawClient, queue: str) -> None:
    qos(client, 2, is_global=True)
    for tag in ("c", "a", "b"):
        client.consume(queue, tag=tag)
    client.publish(queue, *BODIES)
    assert takers(client, 2) == "ca"
    client.ack(2, multiple=True)
    assert takers(client, 2) == "bc"
    qos(client, 4, is_global=True)
    assert takers(client, 2) == "ab"


def test_a_multiple_ack_counts_by_consumer_tag(client: RawClient, queue: str) -> None:
    qos(client, 2)
    for tag in ("b", "a"):
        client.consume(queue, tag=tag)
    client.publish(queue, *BODIES)
    assert takers(client, 4) == "baba"
    client.ack(4, multiple=True)
    assert takers(client, 4) == "aabb"


def test_a_global_limit_is_the_channels_own(client: RawClient, queue: str) -> None:
    client.open_channel(2)
    qos(client, 1, is_global=True)
    client.consume(queue)
    client.consume(queue, channel=2)
    client.publish(queue, *BODIES)
    assert len(client.delivers(9, channel=2)) == 9
    client.deliver()


def test_get_is_exempt_from_every_limit(client: RawClient, queue: str) -> None:
    # T23
    qos(client, 1)
    qos(client, 1, is_global=True)
    client.publish(queue, *BODIES)
    client.consume(queue)
    client.deliver()
    for body in BODIES[1:4]:
        message = client.get(queue, no_ack=False)
        assert message is not None
        assert message.body == body


def test_a_prefetch_size_is_not_implemented(client: RawClient) -> None:
    client.send_command(commands.Basic.Qos(prefetch_size=1))
    text = "NOT_IMPLEMENTED - prefetch_size!=0 (1)"
    client.expect_connection_error(540, text, (60, 10))


def test_settling_after_cancel_counts_for_a_later_consumer(client: RawClient, queue: str) -> None:
    qos(client, 2, is_global=True)
    client.publish(queue, *BODIES)
    client.consume(queue, tag="old")
    client.delivers(2)
    client.call(commands.Basic.Cancel("old"), commands.Basic.CancelOk)
    client.consume(queue, tag="new")
    assert client.is_quiet(queue)
    client.ack(2, multiple=True)
    assert client.delivers(2) == BODIES[2:4]
