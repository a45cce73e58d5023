"""Of a group one message at a time is out, whoever has it (FEATURES N5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import settings
from pamqp import commands

from amqpbroker.broker.grouped_ready import GroupedReady
from tests.amqp_bytes import properties
from tests.broker.test_ack_deadlines import Bench
from tests.broker.worker_twin import GroupTwin

if TYPE_CHECKING:
    from tests.broker.client import MemoryClient

GROUPS = {"x-message-groups": ("t", True)}


def publish(client: MemoryClient, key: bytes, *bodies: bytes) -> None:
    client.publish("q", *bodies, header=properties(headers={"x-group-key": ("S", key)}))


def test_the_next_of_a_group_comes_after_the_ack(client: MemoryClient, other: MemoryClient) -> None:
    client.declare("q", GROUPS)
    client.consume("q")
    other.consume("q")
    publish(client, b"a", b"1", b"2", b"3")
    assert client.messages() + other.messages() == [b"1"]
    client.ack(1)
    assert client.messages() + other.messages() == [b"2"]


def test_a_batch_of_acks_lets_all_their_groups_go_on(client: MemoryClient) -> None:
    client.declare("q", GROUPS)
    client.consume("q")
    for body in (b"1", b"2"):
        for key in (b"a", b"b", b"c"):
            publish(client, key, key + body)
    assert client.messages() == [b"a1", b"b1", b"c1"]
    client.ack(3, multiple=True)
    assert client.messages() == [b"a2", b"b2", b"c2"]


def test_get_skips_groups_that_wait(client: MemoryClient) -> None:
    client.declare("q", GROUPS)
    publish(client, b"a", b"1", b"2")
    client.publish("q", b"3")
    bodies = [client.get("q", no_ack=False) for _ in range(3)]
    assert [message and message.body for message in bodies] == [b"1", b"3", None]
    client.ack(1)
    assert client.get_all("q") == [b"2"]


def test_auto_ack_consumers_get_everything_in_order(client: MemoryClient) -> None:
    client.declare("q", GROUPS)
    publish(client, b"a", b"1", b"2")
    client.consume("q", no_ack=True)
    publish(client, b"a", b"3")
    assert client.messages() == [b"1", b"2", b"3"]


def test_a_transaction_lets_go_at_its_commit(client: MemoryClient, other: MemoryClient) -> None:
    client.declare("q", GROUPS)
    client.call(commands.Tx.Select(), commands.Tx.SelectOk)
    client.consume("q")
    publish(other, b"a", b"1", b"2")
    assert client.messages() == [b"1"]
    client.ack(1)
    assert client.is_silent
    client.send_command(commands.Tx.Commit())
    assert client.deliver().body == b"2"
    client.read(commands.Tx.CommitOk)


def test_a_late_message_is_the_next_of_its_group() -> None:
    bench = Bench()
    client = bench.client
    client.declare("q", {**GROUPS, "x-ack-deadline": ("I", 1000)})
    client.consume("q")
    publish(client, b"a", b"1", b"2")
    assert client.messages() == [b"1"]
    bench.advance(1)
    assert client.messages() == [b"1"]
    client.ack(1)
    assert client.is_silent
    client.ack(2)
    assert client.messages() == [b"2"]


def test_messages_of_a_waiting_group_expire() -> None:
    bench = Bench()
    client = bench.client
    client.declare("q", {**GROUPS, "x-message-ttl": ("I", 1000)})
    client.consume("q")
    publish(client, b"a", b"1", b"2", b"3")
    bench.advance(1)
    publish(client, b"a", b"4")
    assert client.messages() == [b"1"]
    client.ack(1)
    assert client.messages() == [b"4"]


@pytest.mark.parametrize(
    ("overflow", "left"), [("drop-head", [b"3", b"4"]), ("reject-publish", [b"2", b"3"])]
)
def test_length_limits_count_what_waits(
    client: MemoryClient, overflow: str, left: list[bytes]
) -> None:
    limit = {"x-max-length": ("I", 2), "x-overflow": ("S", overflow.encode())}
    client.declare("q", GROUPS | limit)
    client.consume("q", tag="c")
    for body in (b"1", b"2", b"3", b"4"):
        publish(client, b"a", body)
    assert client.messages() == [b"1"]
    for tag in (1, 2, 3):
        client.ack(tag)
    assert client.messages() == left


def test_a_rejected_message_dies_and_the_next_comes(client: MemoryClient) -> None:
    client.declare("dead")
    dead = {"x-dead-letter-exchange": ("S", b""), "x-dead-letter-routing-key": ("S", b"dead")}
    client.declare("q", GROUPS | dead)
    client.consume("q")
    publish(client, b"a", b"1", b"2")
    assert client.messages() == [b"1"]
    client.reject(1, requeue=False)
    assert client.messages() == [b"2"]
    assert client.get_all("dead") == [b"1"]


def test_the_single_active_consumer_has_one_of_each_group(
    client: MemoryClient, other: MemoryClient
) -> None:
    client.declare("q", GROUPS | {"x-single-active-consumer": ("t", True)})
    client.consume("q")
    other.consume("q")
    publish(client, b"a", b"1", b"2")
    assert client.messages() == [b"1"]
    client.close()
    assert other.messages() == [b"1"]


def test_consumer_priorities_count(client: MemoryClient, other: MemoryClient) -> None:
    client.declare("q", GROUPS)
    client.consume("q")
    other.consume("q", {"x-priority": ("I", 5)})
    for key in (b"a", b"b"):
        publish(client, key, key)
    assert other.messages() == [b"a", b"b"]


def test_priorities_of_messages_are_refused(client: MemoryClient) -> None:
    command = commands.Queue.Declare(queue="q")
    client.send_command(command, arguments=GROUPS | {"x-max-priority": ("I", 5)})
    text = (
        "PRECONDITION_FAILED - invalid arg 'x-message-groups' for queue 'q' in vhost '/': "
        "not possible with 'x-max-priority'"
    )
    client.expect_channel_error(406, text, (50, 10))


def test_groups_that_are_off_are_none(client: MemoryClient) -> None:
    assert client.queue(client.declare("q", {"x-message-groups": ("t", False)})).dispatch is None


class Twin(GroupTwin):
    """Random workers of a queue with groups."""

    arguments: ClassVar[dict[str, tuple[str, Any]]] = GROUPS

    def check_memory(self) -> None:
        ready = self.queue.ready
        assert isinstance(ready, GroupedReady)
        assert ready.group_count == len({job.key for job in self.jobs.values()} - {None})

    def teardown(self) -> None:
        self.check_memory()


TestTwin = Twin.TestCase
TestTwin.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
