"""Quorum queues without sockets and disks (FEATURES A11.1, A9.14, A9.15)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pamqp import commands

from amqpbroker.broker.metadata import VHostMetadata
from amqpbroker.storage.fake_disk import FakeDisk
from amqpbroker.storage.shard_record import ReturnRecord
from tests.amqp_bytes import Message, TypedTable, properties
from tests.broker.client import MemoryClient, connect
from tests.broker.clock import Clock
from tests.broker.durable import fake_log, lent, running

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker

QUORUM: TypedTable = {"x-queue-type": ("S", b"quorum")}
TO_GRAVE: TypedTable = {
    "x-dead-letter-exchange": ("S", b""),
    "x-dead-letter-routing-key": ("S", b"grave"),
}


def declare(client: MemoryClient, name: str = "q", **arguments: Any) -> str:
    """Declare a quorum queue; ``delivery_limit=3`` is the argument x-delivery-limit."""
    named: TypedTable = {
        f"x-{key.replace('_', '-')}": ("I", value) if isinstance(value, int) else ("S", value)
        for key, value in arguments.items()
    }
    return client.declare(name, {**QUORUM, **named}, durable=True)


def seen(message: Message | None) -> tuple[bytes, bool, int | None]:
    """Return what a consumer sees: body, redelivered, delivery count."""
    assert message is not None
    redelivered: bool = getattr(message.command, "redelivered")  # noqa: B009
    return message.body, redelivered, message.headers.get("x-delivery-count")


def take(client: MemoryClient, count: int = 1) -> list[tuple[bytes, bool, int | None]]:
    return [seen(client.deliver()) for _ in range(count)]


# counting


def test_a_first_delivery_has_no_count_and_a_get_says_zero(client: MemoryClient) -> None:
    client.publish(declare(client), b"1", b"2")
    assert seen(client.get("q")) == (b"1", False, 0)
    client.consume("q")
    assert take(client) == [(b"2", False, None)]


def test_whatever_comes_back_is_counted(client: MemoryClient, broker: Broker) -> None:
    client.publish(declare(client), b"1")
    client.nack(lent(client, "q").tag)
    client.consume("q")
    assert take(client) == [(b"1", True, 1)]
    client.reject(2)
    assert take(client) == [(b"1", True, 2)]
    client.send_command(commands.Basic.Recover(True))
    assert take(client) == [(b"1", True, 3)]
    client.read(commands.Basic.RecoverOk)
    client.close_channel()
    client.open_channel()
    assert seen(client.get("q", no_ack=False)) == (b"1", True, 4)
    client.close()
    assert seen(connect(broker).get("q")) == (b"1", True, 5)


def test_a_count_is_the_queues_own(client: MemoryClient) -> None:
    for name in ("q", "r"):
        client.bind(declare(client, name), "amq.fanout")
    client.bind(client.declare("classic"), "amq.fanout")
    client.publish("", b"1", exchange="amq.fanout")
    for name in ("q", "classic"):
        client.nack(lent(client, name).tag)
    assert seen(client.get("q")) == (b"1", True, 1)
    assert seen(client.get("r")) == (b"1", False, 0)
    assert seen(client.get("classic")) == (b"1", True, None)


# order


def test_without_a_limit_what_is_returned_goes_to_the_tail(client: MemoryClient) -> None:
    client.publish(declare(client), b"1", b"2", b"3", b"4")
    client.qos(3)
    client.consume("q")
    assert client.delivers(3) == [b"1", b"2", b"3"]
    client.nack(2)
    assert client.delivers(1) == [b"4"]
    client.nack(0, multiple=True)
    assert client.delivers(3) == [b"2", b"1", b"3"]


def test_without_a_limit_what_a_channel_loses_goes_to_the_head(client: MemoryClient) -> None:
    client.publish(declare(client), b"1", b"2", b"3")
    client.open_channel(2)
    for _ in range(2):
        client.get("q", no_ack=False, channel=2)
    client.close_channel(2)
    assert [seen(client.get("q")) for _ in range(3)] == [
        (b"1", True, 1),
        (b"2", True, 1),
        (b"3", False, 0),
    ]


def test_with_a_limit_what_is_returned_goes_ahead_first_in_first_out(client: MemoryClient) -> None:
    client.publish(declare(client, delivery_limit=9), b"1", b"2", b"3", b"4")
    for _ in range(3):
        client.get("q", no_ack=False)
    for tag in (3, 1):
        client.nack(tag)
    client.close_channel()
    client.open_channel()
    assert client.get_all("q") == [b"3", b"1", b"2", b"4"]


def test_a_message_with_a_deadline_dies_on_time_wherever_it_is(
    client: MemoryClient, broker: Broker
) -> None:
    clock = broker.timers.now = Clock()
    client.publish(declare(client, message_ttl=10_000), b"1", b"2")
    client.nack(lent(client, "q").tag)
    assert [message.body for message in client.queue("q").ready] == [b"2", b"1"]
    clock.now += 10
    assert client.get("q") is None


# the delivery limit


def test_beyond_the_limit_a_message_dies(client: MemoryClient) -> None:
    client.declare("grave")
    client.declare("q", {**QUORUM, **TO_GRAVE, "x-delivery-limit": ("I", 1)}, durable=True)
    header = properties(headers={"x-delivery-count": ("S", b"mine")})
    client.publish("q", b"1", header=header)
    for count in (0, 1):
        message = lent(client, "q")
        assert message.headers["x-delivery-count"] == count
        client.nack(message.tag)
    assert client.get("q") is None
    letter = client.get("grave")
    assert letter is not None
    assert letter.headers["x-death"][0]["reason"] == "delivery_limit"
    assert letter.headers["x-delivery-count"] == "mine"


@pytest.mark.parametrize(("limit", "left"), [(0, 0), (-1, 1)])
def test_a_limit_of_none_and_no_limit(client: MemoryClient, limit: int, left: int) -> None:
    client.publish(declare(client, delivery_limit=limit), b"1")
    client.nack(lent(client, "q").tag)
    assert client.counts("q") == (left, 0)


def test_a_rejected_message_dies_without_its_count(client: MemoryClient) -> None:
    client.declare("grave")
    client.declare("q", {**QUORUM, **TO_GRAVE}, durable=True)
    client.publish("q", b"1")
    client.nack(lent(client, "q").tag)
    client.nack(lent(client, "q").tag, requeue=False)
    letter = client.get("grave")
    assert letter is not None
    assert "x-delivery-count" not in letter.headers
    assert letter.headers["x-first-death-reason"] == "rejected"


# what else is different


def test_reject_publish_takes_one_too_many_and_has_no_dead_letters(client: MemoryClient) -> None:
    client.publish(declare(client, max_length=1, overflow=b"reject-publish"), *[b"1"] * 4)
    assert client.counts("q") == (2, 0)
    client.publish(declare(client, "r", max_length=1, overflow=b"reject-publish-dlx"), b"1", b"2")
    assert client.get_all("r") == [b"2"]


def test_what_comes_back_is_offered_before_it_is_too_much(client: MemoryClient) -> None:
    client.consume(declare(client, max_length=0))
    client.publish("q", b"1")
    client.nack(client.deliver().tag)
    assert take(client) == [(b"1", True, 1)]
    client.close_channel()
    client.open_channel()
    assert client.counts("q") == (0, 0)


def test_a_global_prefetch_is_not_for_quorum_queues(client: MemoryClient) -> None:
    client.consume(declare(client))
    client.qos(1, is_global=True)
    client.publish("q", b"1", b"2")
    assert client.delivers(2) == [b"1", b"2"]


def test_nobody_has_a_quorum_queue_alone(client: MemoryClient) -> None:
    client.consume(declare(client), exclusive=True)
    client.consume("q", exclusive=True)
    assert client.queue("q").exclusive_consumer is None


def test_what_comes_back_to_a_deleted_queue_is_gone(client: MemoryClient) -> None:
    client.publish(declare(client), b"1")
    message = lent(client, "q")
    client.delete("q")
    client.nack(message.tag)
    client.close_channel()


# the type of vhosts


@pytest.fixture
def by_default(broker: Broker) -> MemoryClient:
    """A client of a vhost whose queues are quorum queues."""
    broker.vhosts["/"].metadata = VHostMetadata(default_queue_type="quorum")
    return connect(broker)


def test_a_vhost_may_have_quorum_queues_by_default(by_default: MemoryClient) -> None:
    by_default.declare("q", durable=True)
    assert by_default.queue("q").type == "quorum"
    by_default.declare("q", durable=True)
    by_default.declare("q", QUORUM, durable=True)


@pytest.mark.parametrize(
    "flags", [{}, {"durable": True, "exclusive": True}, {"durable": True, "auto_delete": True}]
)
def test_what_cannot_be_a_quorum_queue_is_none(
    by_default: MemoryClient, flags: dict[str, Any]
) -> None:
    by_default.declare("q", **flags)
    assert by_default.queue("q").type == "classic"


def test_the_server_names_no_quorum_queue(by_default: MemoryClient) -> None:
    assert by_default.declare("").startswith("amq.gen-")
    by_default.send_command(commands.Queue.Declare(queue="", durable=True))
    text = "PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_quorum_queue"
    by_default.expect_channel_error(406, text, (50, 10))


# on disk


async def test_transient_messages_and_counts_survive() -> None:
    durable = await running()
    client = durable.connect()
    client.bind(declare(client), "amq.fanout")
    client.bind(client.declare("classic", durable=True), "amq.fanout")
    client.publish("", b"1", b"2", exchange="amq.fanout")
    client.ack(lent(client, "classic").tag)
    client.nack(lent(client, "q").tag)
    await durable.commit()
    client.nack(lent(client, "q").tag)
    client.ack(lent(client, "q").tag)
    await durable.commit()
    records = [record for record in await durable.records() if isinstance(record, ReturnRecord)]
    assert records == [ReturnRecord(1, 1, [(1, 1)]), ReturnRecord(1, 1, [(2, 1)])]
    await durable.start()
    client = durable.connect()
    assert client.get("classic") is None
    assert seen(client.get("q")) == (b"2", True, 1)
    assert client.get("q") is None


async def test_counts_move_with_their_messages_when_the_log_is_compacted() -> None:
    durable = await running(await fake_log(FakeDisk()))
    client = durable.connect()
    declare(client)
    client.declare("other", durable=True)
    persistent = properties(delivery_mode=2)
    client.publish("q", b"old", b"older")
    client.publish("other", b"one", header=persistent)
    await durable.commit()
    client.nack(lent(client, "q").tag)
    await durable.commit()
    for _ in range(100):
        client.publish("other", b"x" * 40, header=persistent)
        await durable.commit()
        client.get("other")
    assert durable.segment_count > 20
    await durable.compact()
    assert durable.segment_count <= 3
    await durable.start()
    client = durable.connect()
    assert [seen(client.get("q")) for _ in range(2)] == [(b"old", True, 1), (b"older", True, 0)]
