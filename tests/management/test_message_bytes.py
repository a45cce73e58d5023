"""Bytes of one queue, in memory and on the disk only (FEATURES A18.4)."""

from __future__ import annotations

from amqpbroker.management.message_bytes import message_bytes
from amqpbroker.storage.fake_disk import FakeDisk
from tests.broker.durable import PERSISTENT, fake_log, running

NAMES = ("", "_ready", "_unacknowledged", "_ram", "_paged_out")
COUNTS = ("messages_ram", "messages_paged_out", "messages_ready_ram", "messages_unacknowledged_ram")


async def test_ready_and_unsettled_messages_count() -> None:
    durable = await running(await fake_log(FakeDisk()), body_memory_limit=30)
    client = durable.connect()
    client.declare("q", durable=True)
    for number in range(5):
        client.publish("q", b"%010d" % number, header=PERSISTENT)
        await durable.commit()
    client.declare("other")
    client.publish("other", b"1")
    assert client.get("q", no_ack=False) is not None
    found = await message_bytes(durable.broker, client.queue("q"))
    assert [found["message_bytes" + name] for name in NAMES] == [50, 40, 10, 30, 20]
    assert [found[name] for name in COUNTS] == [3, 2, 2, 1]


async def test_a_stream_tells_nothing() -> None:
    durable = await running()
    client = durable.connect()
    client.declare("s", {"x-queue-type": ("S", "stream")}, durable=True)
    assert await message_bytes(durable.broker, client.queue("s")) == {}
