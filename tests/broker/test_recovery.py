"""From the log back to the queues."""

from __future__ import annotations

import pytest

from amqpbroker.broker.bodies import in_memory
from amqpbroker.broker.paging import Pager
from amqpbroker.broker.queue import Queue
from amqpbroker.broker.recovery import Recovered, recover
from amqpbroker.broker.runs import Run
from amqpbroker.storage.log import Corrupt
from amqpbroker.storage.memory import MemoryLog
from amqpbroker.storage.shard_record import EnqueueRecord, encode_enqueue, encode_settle

RAW = b"\x10\0\x02"


def enqueue(first: int, *bodies: bytes, queues: tuple[int, ...] = (1,), key: bytes = b"k") -> bytes:
    """Return a record of messages."""
    return encode_enqueue(
        EnqueueRecord(
            first, len(bodies), queues, b"e", key, RAW, len(bodies[0]), b"".join(bodies), 5000
        )
    )


class Log:
    """A log that is written record by record, and what it is recovered into."""

    def __init__(self, segment_size: int = 1 << 20) -> None:
        self.log = MemoryLog(segment_size=segment_size)
        self.queues = {
            number: Queue(
                f"q{number}", is_durable=True, is_auto_delete=False, arguments={}, queue_id=number
            )
            for number in (1, 2)
        }
        self.limit = 1 << 20
        self.progress: list[tuple[int, int]] = []

    async def recovered(self, *batches: list[bytes]) -> Recovered:
        """Write batches, and recover."""
        last = (await self.log.extent()).last
        writer = await self.log.fence(after=last, epoch=last + 2, owner="me")
        for records in batches:
            await writer.append(records)
        pager = Pager(self.log, self.limit)
        return await recover(self.log, self.queues, pager, lambda *done: self.progress.append(done))

    def bodies(self, number: int = 1) -> list[bytes]:
        """Return what is in a queue, in order."""
        return in_memory(list(self.queues[number].ready))


async def test_a_new_log_is_empty() -> None:
    log = Log()
    assert await recover(log.log, log.queues, Pager(log.log, 0)) == (1, [], 0, -1, 0)


async def test_what_was_enqueued_and_not_settled_is_there() -> None:
    log = Log()
    recovered = await log.recovered(
        [enqueue(1, b"1", b"2", b"3"), encode_settle(1, [2])], [enqueue(4, b"4")]
    )
    assert log.bodies() == [b"1", b"3", b"4"]
    assert recovered.message_count == 3
    assert (recovered.next_sequence, recovered.last_offset, recovered.last_epoch) == (5, 2, 1)


async def test_messages_are_what_they_were() -> None:
    log = Log()
    await log.recovered([enqueue(1, b"12", b"34", key=b"a\xff")])
    first, second = log.queues[1].ready
    assert first.publication is second.publication
    publication = first.publication
    assert (publication.exchange, publication.routing_key) == ("e", "a\udcff")
    assert (publication.raw_properties, publication.is_persistent) == (RAW, True)
    assert publication.body_size == 2
    assert isinstance(first.run, Run)
    assert first.run.timestamp_ms == 5000


async def test_all_are_flagged_as_redelivered() -> None:
    log = Log()
    await log.recovered([enqueue(1, b"1")])
    assert log.queues[1].ready.pop().redelivered


async def test_the_order_is_that_of_the_numbers_not_of_the_records() -> None:
    log = Log()
    await log.recovered([enqueue(3, b"3")], [enqueue(1, b"1", b"2")])
    assert log.bodies() == [b"1", b"2", b"3"]


async def test_queues_share_a_message_until_one_settles_it() -> None:
    log = Log()
    await log.recovered([enqueue(1, b"1", b"2", queues=(1, 2)), encode_settle(2, [1])])
    assert log.bodies(1) == [b"1", b"2"]
    assert log.bodies(2) == [b"2"]
    assert list(log.queues[1].ready)[1] is next(iter(log.queues[2].ready))


async def test_unknown_queues_are_dropped_but_their_numbers_are_used_up() -> None:
    log = Log()
    recovered = await log.recovered(
        [enqueue(1, b"1", queues=(9,)), enqueue(7, b"7", queues=(1, 9)), encode_settle(9, [8])]
    )
    assert log.bodies() == [b"7"]
    assert recovered.next_sequence == 9
    assert recovered.segments[0].alive == {1: 1}


async def test_spilled_transient_messages_are_ignored() -> None:
    log = Log()
    record = EnqueueRecord(1, 1, (1,), b"", b"q", b"\0\0", 1, b"1", 0, is_transient=True)
    recovered = await log.recovered([encode_enqueue(record)])
    assert log.bodies() == []
    assert recovered.next_sequence == 2


async def test_settling_what_is_not_there_is_fine() -> None:
    log = Log()
    await log.recovered([encode_settle(1, [1, 2]), enqueue(3, b"3")])
    assert log.bodies() == [b"3"]


async def test_a_record_written_twice_counts_once() -> None:
    log = Log(segment_size=1)
    recovered = await log.recovered([enqueue(1, b"1", queues=(1, 2))], [enqueue(1, b"1")])
    assert (log.bodies(1), log.bodies(2)) == ([b"1"], [b"1"])
    _, old, new = recovered.segments
    assert (old.alive, new.alive) == ({2: 1}, {1: 1})
    assert new.references == {old}


async def test_segments_know_what_is_alive_and_of_what_they_speak() -> None:
    log = Log(segment_size=1)
    recovered = await log.recovered(
        [enqueue(1, b"1", b"2")],
        [enqueue(3, b"3"), encode_settle(1, [1])],
        [encode_settle(1, [2, 3])],
    )
    _, first, second, third = recovered.segments
    assert [segment.first for segment in recovered.segments] == [0, 1, 2, 3]
    assert [segment.alive_count for segment in (first, second, third)] == [0, 0, 0]
    assert [segment.enqueued_count for segment in (first, second, third)] == [2, 1, 0]
    assert second.references == {first}
    assert third.references == {first, second}


async def test_dropped_segments_are_passed_over() -> None:
    log = Log(segment_size=1)
    await log.recovered([enqueue(1, b"1")], [encode_settle(1, [1])], [enqueue(2, b"2")])
    await log.log.drop(1, 3)
    fresh = Log()
    recovered = await recover(log.log, fresh.queues, Pager(log.log, 0))
    assert [segment.first for segment in recovered.segments] == [0, 3]
    assert fresh.bodies() == [b"2"]
    assert recovered.next_sequence == 3


async def test_progress_reaches_the_end() -> None:
    log = Log()
    await log.recovered(*[[enqueue(number, b"x")] for number in range(1, 5)])
    assert log.progress[0] == (0, 4)
    assert log.progress[-1] == (4, 4)


async def test_what_is_no_record_stops_everything() -> None:
    log = Log()
    with pytest.raises(Corrupt, match="batch 1: not a shard record"):
        await log.recovered([b"\x09nonsense"])
