"""Groups that stay with a consumer (FEATURES N5)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis.stateful import invariant
from pamqp import commands

from amqpbroker.broker.grouped_ready import STALE_COUNT_MIN, GroupedReady
from amqpbroker.broker.sticky_groups import StickyGroups
from tests.amqp_bytes import properties
from tests.broker.worker_twin import GroupTwin, Job, Worker

if TYPE_CHECKING:
    from amqpbroker.broker.queue import Queue
    from tests.broker.client import MemoryClient

STICKY = {"x-message-groups": ("t", True), "x-sticky-groups": ("t", True)}


def publish(client: MemoryClient, key: bytes, *bodies: bytes) -> None:
    client.publish("q", *bodies, header=properties(headers={"x-group-key": ("S", key)}))


def dispatch_of(queue: Queue) -> StickyGroups:
    assert isinstance(queue.dispatch, StickyGroups)
    return queue.dispatch


def test_a_group_stays_with_its_consumer(client: MemoryClient, other: MemoryClient) -> None:
    client.declare("q", STICKY)
    client.consume("q")
    other.consume("q")
    keys = [b"%d" % number for number in range(20)]
    seen: list[set[bytes]] = [set(), set()]
    for _ in range(5):
        for key in keys:
            publish(client, key, key)
        for index, worker in enumerate((client, other)):
            seen[index].update(worker.messages())
            worker.ack(0, multiple=True)
    assert not seen[0] & seen[1]
    assert seen[0] | seen[1] == set(keys)
    assert all(seen)


def test_only_the_groups_of_the_new_consumer_move(client: MemoryClient) -> None:
    client.declare("q", STICKY)
    for tag in ("a", "b"):
        client.consume("q", tag=tag)
    dispatch = dispatch_of(client.queue("q"))
    keys = [b"%d" % number for number in range(300)]
    before = {key: dispatch.owner(key) for key in keys}
    client.consume("q", tag="c")
    after = {key: dispatch.owner(key) for key in keys}
    moved = [key for key in keys if before[key] is not after[key]]
    assert {owner and owner.tag for owner in map(after.get, moved)} == {"c"}
    counts = Counter(owner and owner.tag for owner in after.values())
    assert all(50 < count < 150 for count in counts.values())


def test_a_group_waits_for_its_consumer_and_others_do_not(
    client: MemoryClient, other: MemoryClient
) -> None:
    client.declare("q", STICKY)
    for worker in (client, other):
        worker.qos(1)
        worker.consume("q", tag="c")
    dispatch = dispatch_of(client.queue("q"))
    keys = [b"%d" % number for number in range(40)]
    mine = [key for key in keys if dispatch.owner(key) is client.consumer("c")]
    publish(client, mine[0], b"1")
    publish(client, mine[1], b"2")
    client.publish("q", b"free")
    assert client.messages() == [b"1"]
    assert other.messages() == [b"free"]
    client.ack(1)
    assert client.messages() == [b"2"]


def test_no_consumer_starves_under_a_global_prefetch(client: MemoryClient) -> None:
    client.declare("q", STICKY)
    client.qos(1, is_global=True)
    for tag in ("a", "b"):
        client.consume("q", tag=tag)
    for number in range(40):
        publish(client, b"%d" % number, b"x")
    assert client.takers_one_by_one(6)[1:5] in (["a", "b"] * 2, ["b", "a"] * 2)


def test_auto_ack_consumers_get_everything_in_order(client: MemoryClient) -> None:
    client.declare("q", STICKY)
    publish(client, b"a", b"1", b"2")
    client.consume("q", no_ack=True)
    publish(client, b"a", b"3", b"4")
    assert client.messages() == [b"1", b"2", b"3", b"4"]


def test_get_takes_the_oldest_that_is_free(client: MemoryClient) -> None:
    client.declare("q", STICKY)
    client.qos(1)
    client.consume("q")
    publish(client, b"a", b"1", b"2")
    publish(client, b"b", b"3")
    assert client.messages() == [b"1"]
    message = client.get("q")
    assert message is not None
    assert message.body == b"3"
    assert client.get("q") is None


def test_what_has_gone_is_thrown_out(client: MemoryClient) -> None:
    client.declare("q", STICKY | {"x-max-length": ("I", 1)})
    client.qos(1)
    client.consume("q")
    for number in range(1000):
        publish(client, b"%d" % number, b"x")
    dispatch = dispatch_of(client.queue("q"))
    ready = client.queue("q").ready
    assert isinstance(ready, GroupedReady)
    assert sum(map(len, dispatch._lanes.values())) <= STALE_COUNT_MIN + 10
    assert len(ready._next) <= STALE_COUNT_MIN + 10
    assert ready.group_count == 2


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        ({"x-sticky-groups": ("t", True)}, "not possible without 'x-message-groups'"),
        (
            STICKY | {"x-single-active-consumer": ("t", True)},
            "not possible with 'x-single-active-consumer'",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(
    client: MemoryClient, arguments: dict[str, tuple[str, Any]], wrong: str
) -> None:
    client.send_command(commands.Queue.Declare(queue="q"), arguments=arguments)
    text = (
        f"PRECONDITION_FAILED - invalid arg 'x-sticky-groups' for queue 'q' in vhost '/': {wrong}"
    )
    client.expect_channel_error(406, text, (50, 10))


def test_priorities_of_consumers_are_refused(client: MemoryClient) -> None:
    client.declare("q", STICKY)
    client.send_command(commands.Basic.Consume(queue="q"), arguments={"x-priority": ("I", 1)})
    text = (
        "PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'q' in vhost '/': "
        "not possible with 'x-sticky-groups'"
    )
    client.expect_channel_error(406, text, (60, 20))


class Twin(GroupTwin):
    """Random workers of a queue with sticky groups."""

    arguments: ClassVar[dict[str, tuple[str, Any]]] = STICKY
    keys: ClassVar[list[bytes | None]] = [None, b"a", b"b", b"c", b"d", b"e"]

    def came(self, worker: Worker, job: Job) -> None:
        super().came(worker, job)
        if job.key is None:
            return
        assert dispatch_of(self.queue).owner(job.key) is worker.consumer, "somebody else's"

    def may_get(self, worker: Worker, job: Job) -> bool:
        if not super().may_get(worker, job):
            return False
        return job.key is None or dispatch_of(self.queue).owner(job.key) is worker.consumer

    @invariant()
    def memory_is_bounded(self) -> None:
        ready = self.queue.ready
        assert isinstance(ready, GroupedReady)
        assert ready.group_count == len({job.key for job in self.jobs.values()} - {None})


TestTwin = Twin.TestCase
TestTwin.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
