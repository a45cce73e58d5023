"""What a stream is after a kill, a stop, and what a crash left (FEATURES A11.4, S22, S91-S94)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pamqp import commands

from tests.amqp_bytes import properties

if TYPE_CHECKING:
    from pathlib import Path

    from tests.features.restarts import Restarts
    from tests.raw_client import RawClient

pytestmark = [pytest.mark.timeout(60), pytest.mark.deviates("needs a broker of its own")]

STREAM = {"x-queue-type": ("S", b"stream")}


def publish(client: RawClient, *bodies: bytes, queue: str = "s") -> None:
    """Publish and wait for the confirms."""
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    client.publish(queue, *bodies, header=properties())
    confirmed = 0
    while confirmed < len(bodies):
        ack = client.read(commands.Basic.Ack)
        confirmed = (ack.delivery_tag or 0) if ack.multiple else confirmed + 1


def read(client: RawClient, count: int, queue: str = "s", **arguments: Any) -> list[bytes]:
    """Return the next messages of a new consumer."""
    client.call(commands.Basic.Qos(0, 1000, False), commands.Basic.QosOk)
    named = {"x-stream-offset": ("S", b"first")} | arguments
    client.consume(queue, no_ack=False, arguments=named)
    return client.delivers(count)


def numbered(count: int, first: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(first, first + count)]


def segments(restarts: Restarts) -> list[Path]:
    return sorted((restarts.data_dir / "streams").glob("*/*.log"))


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_what_was_confirmed_is_there_again(restarts: Restarts, end: str) -> None:
    client = restarts.start()
    client.declare("s", durable=True, arguments=STREAM)
    publish(client, *numbered(100))
    getattr(restarts, end)()
    client = restarts.start()
    assert client.counts("s")[0] == 100
    assert read(client, 100) == numbered(100)
    publish(restarts.connect(), *numbered(10, 100))
    assert client.delivers(10) == numbered(10, 100)


def test_a_torn_tail_is_cut_and_the_rest_is_there(restarts: Restarts) -> None:
    client = restarts.start()
    client.declare("s", durable=True, arguments=STREAM)
    publish(client, *numbered(50))
    restarts.kill()
    path = segments(restarts)[-1]
    data = path.read_bytes()
    end = len(data.rstrip(b"\0"))
    path.write_bytes(data[:end] + b"\xb5aqB torn" + data[end + 9 :])
    client = restarts.start()
    assert read(client, 50) == numbered(50)


def test_a_damaged_stream_is_out_of_order_and_nothing_else(restarts: Restarts) -> None:
    client = restarts.start()
    for name in ("s", "t"):
        client.declare(name, durable=True, arguments=STREAM)
        publish(restarts.connect(), *numbered(5), queue=name)
    restarts.stop()
    path = segments(restarts)[0]
    path.write_bytes(path.read_bytes().replace(b"2", b"x"))
    client = restarts.start()
    assert read(client, 5, "t") == numbered(5)
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    client.publish("s", b"lost?", header=properties())
    client.read(commands.Basic.Nack)
    other = restarts.connect()
    other.call(commands.Basic.Qos(0, 10, False), commands.Basic.QosOk)
    other.send_command(commands.Basic.Consume(0, "s", ""))
    close = other.read(commands.Channel.Close)
    assert close.reply_code == 406
    assert "does not have a running replica" in (close.reply_text or "")


def test_the_files_of_a_deleted_stream_go_even_after_a_kill(restarts: Restarts) -> None:
    client = restarts.start()
    for name in ("s", "t"):
        client.declare(name, durable=True, arguments=STREAM)
        publish(restarts.connect(), b"x", queue=name)
    left = segments(restarts)[0].parent
    client.call(commands.Queue.Delete(0, "s"), commands.Queue.DeleteOk)
    restarts.kill()
    left.mkdir(exist_ok=True)
    (left / "manifest").write_bytes(b"")
    client = restarts.start()
    assert not left.exists()
    assert read(client, 1, "t") == [b"x"]


def test_a_stream_and_a_queue_get_a_transaction(restarts: Restarts) -> None:
    client = restarts.start()
    client.declare("s", durable=True, arguments=STREAM)
    client.declare("q", durable=True)
    client.call(commands.Tx.Select(), commands.Tx.SelectOk)
    client.publish("s", b"1", b"2", header=properties())
    client.publish("q", b"3", header=properties(delivery_mode=2))
    client.call(commands.Tx.Commit(), commands.Tx.CommitOk)
    restarts.kill()
    client = restarts.start()
    assert read(client, 2) == [b"1", b"2"]
    assert client.counts("q")[0] == 1


def test_a_tracked_consumer_goes_on_where_it_was(restarts: Restarts) -> None:
    restarts.has_management = True
    client = restarts.start()
    client.declare("s", durable=True, arguments=STREAM)
    publish(client, *numbered(20))
    arguments = {
        "x-stream-offset": ("S", b"first"),
        "x-stream-automatic-offset-tracking": ("t", True),
    }

    def consume() -> RawClient:
        reader = restarts.connect()
        reader.call(commands.Basic.Qos(0, 8, False), commands.Basic.QosOk)
        reader.consume("s", arguments, tag="worker")
        return reader

    reader = consume()
    assert reader.delivers(8) == numbered(8)
    reader.ack(3, multiple=True)
    reader.ack(6)
    reader.delivers(4)
    reader.close()
    reader = consume()
    assert reader.delivers(8) == numbered(8, 3)
    reader.ack(8, multiple=True)
    assert reader.delivers(8) == numbered(8, 11)
    offsets = {"first": 0, "next": 20, "tracked": {"worker": 11}}
    assert restarts.api("GET", "/queues/{v}/s").body["offsets"] == offsets
    restarts.stop()
    restarts.start()
    assert consume().delivers(8) == numbered(8, 11)


def test_tracking_needs_a_tag(restarts: Restarts) -> None:
    client = restarts.start()
    client.declare("s", durable=True, arguments=STREAM)
    client.call(commands.Basic.Qos(0, 8, False), commands.Basic.QosOk)
    arguments = {"x-stream-automatic-offset-tracking": ("t", True)}
    client.send_command(commands.Basic.Consume(queue="s"), 1, arguments)
    assert client.read(commands.Channel.Close).reply_code == 406
