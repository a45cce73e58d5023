"""tx.select, tx.commit and tx.rollback (FEATURES A7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pamqp import commands

from tests.amqp_bytes import properties

if TYPE_CHECKING:
    from tests.features.conftest import Connect
    from tests.raw_client import RawClient

NOT_TRANSACTIONAL = "PRECONDITION_FAILED - channel is not transactional"


@pytest.fixture
def tx(client: RawClient) -> RawClient:
    """A client whose channel 1 is transactional."""
    client.call(commands.Tx.Select(), commands.Tx.SelectOk)
    return client


def commit(client: RawClient) -> None:
    client.call(commands.Tx.Commit(), commands.Tx.CommitOk)


def rollback(client: RawClient) -> None:
    client.call(commands.Tx.Rollback(), commands.Tx.RollbackOk)


def test_select_is_idempotent(tx: RawClient, queue: str) -> None:
    tx.publish(queue, b"one")
    tx.call(commands.Tx.Select(), commands.Tx.SelectOk)
    commit(tx)
    assert tx.get_all(queue) == [b"one"]


def test_select_on_a_confirming_channel_is_an_error(client: RawClient) -> None:
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    client.send_command(commands.Tx.Select())
    text = "PRECONDITION_FAILED - cannot switch from confirm to tx mode"
    client.expect_channel_error(406, text, (90, 10))


@pytest.mark.parametrize(
    ("command", "ids"), [(commands.Tx.Commit(), (90, 20)), (commands.Tx.Rollback(), (90, 30))]
)
def test_a_channel_without_select_is_not_transactional(
    client: RawClient, command: Any, ids: tuple[int, int]
) -> None:
    client.send_command(command)
    client.expect_channel_error(406, NOT_TRANSACTIONAL, ids)


def test_publishes_appear_at_commit(tx: RawClient, queue: str) -> None:
    tx.publish(queue, b"one", b"two")
    assert tx.counts(queue) == (0, 0)
    commit(tx)
    assert tx.get_all(queue) == [b"one", b"two"]


def test_persistent_publishes_appear_at_commit(tx: RawClient, name: str) -> None:
    tx.declare(name, durable=True)
    tx.publish(name, *[b"body"] * 20, header=properties(delivery_mode=2))
    commit(tx)
    assert tx.counts(name) == (20, 0)


def test_rollback_drops_publishes(tx: RawClient, queue: str) -> None:
    tx.publish(queue, b"lost")
    rollback(tx)
    tx.publish(queue, b"one")
    commit(tx)
    assert tx.get_all(queue) == [b"one"]


def test_closing_the_channel_drops_publishes(tx: RawClient, queue: str) -> None:
    tx.publish(queue, b"lost")
    tx.close_channel()
    tx.open_channel()
    assert tx.counts(queue) == (0, 0)


def test_acks_count_at_commit(tx: RawClient, queue: str) -> None:
    tx.publish(queue, b"one", b"two")
    commit(tx)
    tx.consume(queue)
    tx.delivers(2)
    tx.ack(1)
    commit(tx)
    tx.ack(2)
    tx.close_channel()
    tx.open_channel()
    assert tx.get_all(queue) == [b"two"]


def test_rollback_takes_acks_back_without_redelivery(tx: RawClient, queue: str) -> None:
    # A7.3: the deliveries are open again, and may be settled another way.
    tx.publish(queue, b"one", b"two")
    commit(tx)
    tx.consume(queue)
    tx.delivers(2)
    tx.ack(1)
    tx.nack(2)
    rollback(tx)
    assert tx.is_quiet(queue)
    tx.ack(1)
    tx.ack(2)
    commit(tx)
    assert tx.counts(queue) == (0, 1)


def test_an_ack_within_a_transaction_cannot_be_repeated(tx: RawClient, queue: str) -> None:
    tx.publish(queue, b"one")
    commit(tx)
    tx.get(queue, no_ack=False)
    tx.ack(1)
    tx.ack(1)
    text = "PRECONDITION_FAILED - unknown delivery tag 1"
    tx.expect_channel_error(406, text, (60, 80))


def test_rejects_are_part_of_the_transaction(tx: RawClient, queue: str) -> None:
    tx.publish(queue, b"one", b"two", b"three")
    commit(tx)
    for _ in range(3):
        tx.get(queue, no_ack=False)
    tx.reject(1, requeue=False)
    tx.nack(3, multiple=True)
    assert tx.counts(queue) == (0, 0)
    commit(tx)
    assert tx.get_all(queue) == [b"two", b"three"]


def test_acks_do_not_make_room_before_commit(tx: RawClient, queue: str) -> None:
    tx.call(commands.Basic.Qos(prefetch_count=1), commands.Basic.QosOk)
    tx.publish(queue, b"one", b"two")
    commit(tx)
    tx.consume(queue)
    tx.ack(tx.deliver().tag)
    assert tx.is_quiet(queue)
    tx.send_command(commands.Tx.Commit())
    frames = [tx.read_frame() for _ in range(4)]
    assert {frame.ids for frame in frames if frame.kind == 1} == {(90, 21), (60, 60)}
    assert frames[-1].payload == b"two" or frames[-2].payload == b"two"


def test_returns_come_before_commit_ok(tx: RawClient, name: str) -> None:
    # A7.2
    tx.publish(f"{name}-nobody", b"lost", mandatory=True)
    tx.send_command(commands.Tx.Commit())
    assert tx.read_message(commands.Basic.Return).body == b"lost"
    tx.read(commands.Tx.CommitOk)


def test_a_rolled_back_message_is_not_returned(tx: RawClient, queue: str, name: str) -> None:
    tx.publish(f"{name}-nobody", b"lost", mandatory=True)
    rollback(tx)
    commit(tx)
    assert tx.is_quiet(queue)


def test_routing_is_decided_at_publish(tx: RawClient, queue: str) -> None:
    # A7.5
    tx.bind(queue, "amq.direct", queue)
    tx.publish(queue, b"one", exchange="amq.direct")
    unbind = commands.Queue.Unbind(queue=queue, exchange="amq.direct", routing_key=queue)
    tx.call(unbind, commands.Queue.UnbindOk)
    tx.publish(queue, b"lost", exchange="amq.direct")
    commit(tx)
    assert tx.get_all(queue) == [b"one"]


def test_a_queue_deleted_before_commit_loses_its_messages(tx: RawClient, queue: str) -> None:
    tx.publish(queue, b"lost")
    tx.call(commands.Queue.Delete(queue=queue), commands.Queue.DeleteOk)
    commit(tx)


def test_a_refused_message_makes_the_commit_partial(tx: RawClient, name: str) -> None:
    # A7.2
    tx.declare(name, {"x-max-length": ("I", 1), "x-overflow": ("S", "reject-publish")})
    tx.publish(name, b"one")
    commit(tx)
    tx.publish(name, b"refused")
    tx.send_command(commands.Tx.Commit())
    text = "PRECONDITION_FAILED - partial tx completion"
    tx.expect_channel_error(406, text, (90, 20))


def test_a_missing_exchange_is_an_error_at_once(tx: RawClient, name: str) -> None:
    tx.publish("key", b"lost", exchange=name)
    text = f"NOT_FOUND - no {tx.resource('exchange', name)}"
    tx.expect_channel_error(404, text, (60, 40))


def test_an_empty_commit_and_rollback(tx: RawClient) -> None:
    commit(tx)
    rollback(tx)
    commit(tx)


def test_others_see_a_committed_transaction(connect: Connect, name: str) -> None:
    publisher, other = connect(), connect()
    publisher.declare(name)
    publisher.call(commands.Tx.Select(), commands.Tx.SelectOk)
    publisher.publish(name, b"one", b"two")
    assert other.counts(name) == (0, 0)
    commit(publisher)
    assert other.get_all(name) == [b"one", b"two"]
