"""One vhost, many clients, any order: held against a model that is a few dicts.

The model knows of each queue what is ready (by position) and of each channel what it was lent. It
does not predict who gets a message; it takes what the broker delivers and checks that it was there
to be delivered: the first of its queue that is ready, to a consumer with room, flagged rightly.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
)
from pamqp import commands

from tests.amqp_bytes import BODY, Message
from tests.broker.client import MemoryClient, connect, make_broker

QUEUES: Final = ("a", "b", "single")
SINGLE_ACTIVE: Final = {"x-single-active-consumer": ("t", True)}


@dataclass(eq=False)
class Lane:
    """A channel in the model."""

    client: MemoryClient
    number: int
    lent: dict[int, tuple[str, int]] = field(default_factory=dict)
    """Delivery tag → (queue, position), what the channel must settle."""
    by_consumer: dict[int, str] = field(default_factory=dict)
    """Delivery tag → consumer tag; not those of get."""
    consumers: dict[str, tuple[str, bool, int]] = field(default_factory=dict)
    """Consumer tag → (queue, no_ack, prefetch)."""
    prefetch: int = 0
    prefetch_global: int = 0
    last_tag: int = 0

    def has_room(self, tag: str) -> bool:
        """Return whether a consumer may be given one more."""
        _, _, prefetch = self.consumers[tag]
        mine = sum(owner == tag for owner in self.by_consumer.values())
        is_within = not prefetch or mine < prefetch
        return is_within and (
            not self.prefetch_global or len(self.by_consumer) < self.prefetch_global
        )


class VHostMachine(RuleBasedStateMachine):
    """The model and the broker side by side."""

    lanes = Bundle("lanes")

    def __init__(self) -> None:
        super().__init__()
        self.broker = make_broker()
        self.admin = connect(self.broker)
        self.open: list[Lane] = []
        self.ready: dict[str, dict[int, bool]] = {}
        """Queue → position → whether it was delivered before."""
        self.published: dict[str, int] = {}
        self.consumer_count = 0
        self.is_ordered = True
        """Whether what is delivered in this step comes from one pass over each queue."""

    @initialize()
    def declare(self) -> None:
        for queue in QUEUES:
            self.admin.declare(queue, SINGLE_ACTIVE if queue == "single" else None)
            self.ready[queue] = {}
            self.published[queue] = 0

    # what clients do

    @rule(target=lanes, is_new=st.booleans(), data=st.data())
    def open_channel(self, is_new: bool, data: st.DataObject) -> Lane:
        clients = list(dict.fromkeys(lane.client for lane in self.open))
        if is_new or not clients:
            lane = Lane(connect(self.broker), 1)
        else:
            client = data.draw(st.sampled_from(clients))
            lane = Lane(client, max(client.session.channels) + 1)
            client.open_channel(lane.number)
        self.open.append(lane)
        return lane

    @rule(queue=st.sampled_from(QUEUES), count=st.integers(1, 4))
    def publish(self, queue: str, count: int) -> None:
        first = self.published[queue]
        self.published[queue] += count
        positions = range(first, first + count)
        self.ready[queue].update(dict.fromkeys(positions, False))
        self.admin.publish(queue, *[b"%d" % position for position in positions])

    @rule(lane=lanes, queue=st.sampled_from(QUEUES), no_ack=st.booleans(), high=st.booleans())
    def consume(self, lane: Lane, queue: str, no_ack: bool, high: bool) -> None:
        if lane not in self.open:
            return
        self.consumer_count += 1
        tag = f"c{self.consumer_count}"
        lane.consumers[tag] = (queue, no_ack, 0 if no_ack else lane.prefetch)
        arguments = {"x-priority": ("I", int(high))}
        lane.client.consume(queue, arguments, tag=tag, no_ack=no_ack, channel=lane.number)

    @rule(lane=lanes, count=st.integers(0, 3), is_global=st.booleans())
    def qos(self, lane: Lane, count: int, is_global: bool) -> None:
        if lane not in self.open:
            return
        if is_global:
            lane.prefetch_global = count
        else:
            lane.prefetch, lane.prefetch_global = count, 0
        lane.client.qos(count, is_global=is_global, channel=lane.number)

    @rule(lane=lanes, data=st.data())
    def cancel(self, lane: Lane, data: st.DataObject) -> None:
        if lane in self.open and lane.consumers:
            tag = data.draw(st.sampled_from(sorted(lane.consumers)))
            lane.client.cancel(tag, lane.number)
            del lane.consumers[tag]

    @rule(lane=lanes, queue=st.sampled_from(QUEUES))
    def get(self, lane: Lane, queue: str) -> None:
        if lane not in self.open:
            return
        message = lane.client.get(queue, no_ack=False, channel=lane.number)
        if message is None:
            assert not self.ready[queue]
            return
        self.taken(lane, queue, message)
        assert dict(message.command)["message_count"] == len(self.ready[queue])

    @rule(lane=lanes, data=st.data(), multiple=st.booleans(), way=st.sampled_from("and"))
    def settle(self, lane: Lane, data: st.DataObject, multiple: bool, way: str) -> None:
        if lane not in self.open or not lane.lent:
            return
        tag = data.draw(st.sampled_from(sorted(lane.lent)))
        for other in sorted(lane.lent):
            if other == tag or (multiple and other < tag):
                self.give_up(lane, other, is_back=way == "n")
        if way == "a":
            lane.client.ack(tag, multiple=multiple, channel=lane.number)
        else:
            nack = lane.client.nack
            nack(tag, multiple=multiple, requeue=way == "n", channel=lane.number)

    @rule(lane=consumes(lanes), is_whole=st.booleans())
    def leave(self, lane: Lane, is_whole: bool) -> None:
        gone = [other for other in self.open if other is lane]
        if is_whole:
            gone = [other for other in self.open if other.client is lane.client]
            self.is_ordered = False
        for other in gone:
            self.open.remove(other)
            for tag in list(other.lent):
                self.give_up(other, tag, is_back=True)
        if gone and is_whole:
            lane.client.close()
        elif gone:
            lane.client.close_channel(lane.number)

    @rule(queue=st.sampled_from(QUEUES))
    def purge(self, queue: str) -> None:
        self.admin.send_command(commands.Queue.Purge(queue=queue))
        assert self.admin.read(commands.Queue.PurgeOk).message_count == len(self.ready[queue])
        self.ready[queue].clear()

    # what the broker does

    def give_up(self, lane: Lane, tag: int, *, is_back: bool) -> None:
        """Take a delivery from a channel in the model."""
        queue, position = lane.lent.pop(tag)
        lane.by_consumer.pop(tag, None)
        if is_back:
            self.ready[queue][position] = True

    def taken(self, lane: Lane, queue: str, message: Message) -> int:
        """Move what was delivered from a queue to a channel in the model; return its position."""
        position = int(message.body)
        assert position in self.ready[queue], "lost, made up, or delivered to two"
        assert message.redelivered == self.ready[queue].pop(position)
        assert message.tag == lane.last_tag + 1
        lane.last_tag = message.tag
        lane.lent[message.tag] = (queue, position)
        return position

    @invariant()
    def broker_and_model_agree(self) -> None:
        self.read_deliveries()
        self.check_counts()
        self.check_that_nobody_waits()

    def read_deliveries(self) -> None:
        """Take what the broker has delivered, and check it."""
        for lane in self.open:
            got: dict[str, list[int]] = {}
            while self._has_content(lane):
                queue, position = self.delivered(lane, lane.client.deliver(lane.number))
                got.setdefault(queue, []).append(position)
            for positions in got.values():
                assert positions == sorted(positions) or not self.is_ordered
        self.is_ordered = True

    def _has_content(self, lane: Lane) -> bool:
        """Return whether frames have come for this very channel."""
        client = lane.client
        while not client.is_silent and client._buffer:
            received = client.receive_frame()
            client._waiting[received.channel].append(received)
        waiting = client._waiting[lane.number]
        assert not waiting or waiting[0].kind != BODY
        return bool(waiting)

    def delivered(self, lane: Lane, message: Message) -> tuple[str, int]:
        """Check one delivery; return its queue and position."""
        tag = str(message.command["consumer_tag"])
        queue, no_ack, _ = lane.consumers[tag]
        assert lane.has_room(tag)
        position = self.taken(lane, queue, message)
        if no_ack:
            del lane.lent[message.tag]
        else:
            lane.by_consumer[message.tag] = tag
        return queue, position

    def check_counts(self) -> None:
        """Compare ready and unsettled of queues, channels and consumers."""
        for name, ready in self.ready.items():
            queue = self.broker.vhosts["/"].queues[name]
            lent = [place for lane in self.open for place in lane.lent.values()]
            assert len(queue.ready) == len(ready)
            assert queue.unsettled_count == sum(owner == name for owner, _ in lent)
        for lane in self.open:
            channel = lane.client.channel(lane.number)
            assert list(channel.unsettled) == sorted(lane.lent)
            assert channel.unsettled_count == len(lane.by_consumer)
            for tag, consumer in channel.consumers.items():
                mine = [owner for owner in lane.by_consumer.values() if owner == tag]
                assert consumer.unsettled_count == len(mine)

    def check_that_nobody_waits(self) -> None:
        """A message is not ready while an active consumer has room."""
        for name, ready in self.ready.items():
            consumers = self.broker.vhosts["/"].queues[name].consumers
            takers = [
                tag
                for lane in self.open
                for tag, (queue, _, _) in lane.consumers.items()
                if queue == name
                and lane.has_room(tag)
                and consumers.is_active(lane.client.consumer(tag, lane.number))
            ]
            assert not ready or not takers

    def teardown(self) -> None:
        for lane in self.open:
            lane.client.close()
        assert not self.broker.touched
        for queue in self.broker.vhosts["/"].queues.values():
            assert not len(queue.consumers)
            assert not queue.unsettled_count


VHostMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestVHost = VHostMachine.TestCase
