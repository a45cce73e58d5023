"""What survives a kill and a stop (FEATURES A5.11, A5.13, A7.4, S22, S26, S163)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import pytest
from pamqp import commands

from tests.amqp_bytes import command_frame, properties
from tests.features.restarts import Restarts, get_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.raw_client import RawClient

pytestmark = [pytest.mark.timeout(60), pytest.mark.deviates("needs a broker of its own")]

PERSISTENT = properties(delivery_mode=2)


@pytest.fixture
def broker_at(tmp_path: Path) -> Iterator[Callable[..., Restarts]]:
    """Make brokers on the same directory, one after the other."""
    made: list[Restarts] = []

    def at(**settings: object) -> Restarts:
        made.append(Restarts(tmp_path / "data", **settings))
        return made[-1]

    yield at
    for broker in made:
        broker.close()


@pytest.fixture
def restarts(broker_at: Callable[..., Restarts]) -> Restarts:
    return broker_at()


_published_counts: WeakKeyDictionary[RawClient, int] = WeakKeyDictionary()


def publish(client: RawClient, queue: str, *bodies: bytes, exchange: str = "") -> None:
    """Publish persistent messages and wait for their confirms."""
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    client.publish(queue, *bodies, exchange=exchange, header=PERSISTENT)
    first = _published_counts.get(client, 0) + 1
    _published_counts[client] = first - 1 + len(bodies)
    waiting = set(range(first, first + len(bodies)))
    while waiting:
        ack = client.read(commands.Basic.Ack)
        tag = ack.delivery_tag or 0
        waiting -= set(range(first, tag + 1)) if ack.multiple else {tag}


def bodies(client: RawClient, queue: str) -> list[bytes]:
    return [message.body for message in get_all(client, queue)]


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_what_was_confirmed_is_there_again(restarts: Restarts, end: str) -> None:
    client = restarts.start()
    client.declare("q", durable=True)
    publish(client, "q", b"1", b"2", b"3")
    getattr(restarts, end)()
    client = restarts.start()
    assert [(m.body, m.redelivered) for m in get_all(client, "q")] == [
        (b"1", True), (b"2", True), (b"3", True),
    ]  # fmt: skip
    assert restarts.stop() == 0


def test_messages_are_as_they_were(restarts: Restarts) -> None:
    client = restarts.start()
    client.declare("q", durable=True)
    client.bind("q", "amq.topic", "a.#")
    header = properties(
        delivery_mode=2, content_type="text/plain", headers={"x": ("I", 5)}, message_id="é"
    )
    client.publish("a.b", b"body", exchange="amq.topic", header=header)
    client.counts("q")
    restarts.stop()
    (message,) = get_all(restarts.start(), "q")
    assert (message.body, message.header) == (b"body", header)
    assert message.command["exchange"] == "amq.topic"
    assert message.command["routing_key"] == "a.b"


def test_definitions_are_there_as_soon_as_they_are_answered(restarts: Restarts) -> None:
    client = restarts.start()
    command = commands.Exchange.Declare(exchange="e", exchange_type="direct", durable=True)
    client.call(command, commands.Exchange.DeclareOk)
    client.declare("q", {"x-max-length": ("I", 2)}, durable=True)
    client.bind("q", "e", "key")
    client.declare("deleted", durable=True)
    client.call(commands.Queue.Delete(queue="deleted"), commands.Queue.DeleteOk)
    restarts.kill()
    client = restarts.start()
    publish(client, "key", b"1", b"2", b"3", exchange="e")
    assert bodies(client, "q") == [b"2", b"3"]
    client.send_command(commands.Queue.Declare(queue="deleted", passive=True))
    assert client.read(commands.Channel.Close).reply_code == 404


def test_what_is_not_to_be_kept_is_not(restarts: Restarts) -> None:
    client = restarts.start()
    for name, is_durable in (("durable", True), ("transient", False)):
        client.declare(name, durable=is_durable)
        publish(client, name, b"persistent")
    other = restarts.connect()
    other.publish("durable", b"transient")
    assert other.counts("durable")[0] == 2
    restarts.stop()
    client = restarts.start()
    assert bodies(client, "durable") == [b"persistent"]
    client.send_command(commands.Queue.Declare(queue="transient", passive=True))
    assert client.read(commands.Channel.Close).reply_code == 404


def test_an_ack_is_sure_once_something_after_it_is_confirmed(restarts: Restarts) -> None:
    client = restarts.start()
    client.declare("q", durable=True)
    publish(client, "q", b"1", b"2", b"3")
    lent = get_all(client, "q")
    client.ack(lent[1].tag)
    publish(client, "q", b"4")
    restarts.kill()
    assert bodies(restarts.start(), "q") == [b"1", b"3", b"4"]


def test_a_transaction_is_there_whole(restarts: Restarts) -> None:
    client = restarts.start()
    for name in ("a", "b"):
        client.declare(name, durable=True)
    publish(client, "a", b"1")
    other = restarts.connect()
    other.call(commands.Tx.Select(), commands.Tx.SelectOk)
    (message,) = get_all(other, "a")
    other.publish("b", b"2", header=PERSISTENT)
    other.ack(message.tag)
    other.call(commands.Tx.Commit(), commands.Tx.CommitOk)
    other.publish("b", b"not committed", header=PERSISTENT)
    other.counts("b")
    restarts.kill()
    client = restarts.start()
    assert (bodies(client, "a"), bodies(client, "b")) == ([], [b"2"])


def test_a_message_larger_than_a_segment_is_kept(broker_at: Callable[..., Restarts]) -> None:
    restarts = broker_at(segment_size=65536)
    client = restarts.start()
    client.declare("q", durable=True)
    big = bytes(range(256)) * 40_000
    publish(client, "q", b"small", big)
    restarts.kill()
    assert bodies(restarts.start(), "q") == [b"small", big]


def test_the_disk_is_given_back(broker_at: Callable[..., Restarts]) -> None:
    restarts = broker_at(segment_size=65536)
    client = restarts.start()
    client.declare("old", durable=True)
    client.declare("q", durable=True)
    publish(client, "old", b"old")
    for _ in range(5):
        publish(client, "q", *[bytes(1000)] * 200)
        client.get_all("q")
    deadline = time.monotonic() + 8
    while size_of(restarts.data_dir) > 5 * 65536 and time.monotonic() < deadline:
        publish(client, "q", b"x")
        client.get_all("q")
    assert size_of(restarts.data_dir) <= 5 * 65536
    restarts.kill()
    assert bodies(restarts.start(), "old") == [b"old"]


def size_of(data_dir: Path) -> int:
    return sum(path.stat().st_size for path in (data_dir / "shard-0").glob("*.log"))


@pytest.mark.parametrize("fsync", ["interval", "never"])
def test_a_weaker_policy_loses_nothing_to_a_kill(
    broker_at: Callable[..., Restarts], fsync: str
) -> None:
    restarts = broker_at(fsync=fsync)
    client = restarts.start()
    client.declare("q", durable=True)
    publish(client, "q", b"1", b"2")
    restarts.kill()
    assert bodies(restarts.start(), "q") == [b"1", b"2"]


def test_a_second_broker_is_refused_in_one_line(
    restarts: Restarts, broker_at: Callable[..., Restarts]
) -> None:
    client = restarts.start()
    code, log = broker_at().start_in_vain()
    assert code == 1
    (line,) = [line for line in log.splitlines() if " ERROR " in line]
    assert "another process uses it: stop the other broker" in line
    assert "Traceback" not in log
    client.declare("still-here", durable=True)


def test_encrypted_messages_need_their_key(
    broker_at: Callable[..., Restarts], tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"1 {'5a' * 32}\n")
    keys.chmod(0o600)
    restarts = broker_at(encryption_key_file=keys)
    client = restarts.start()
    client.declare("q", durable=True)
    publish(client, "q", b"a secret of some length")
    restarts.kill()
    files = (restarts.data_dir / "shard-0").glob("*.log")
    assert not any(b"a secret" in path.read_bytes() for path in files)
    code, log = broker_at().start_in_vain()
    assert (code, log.count(" ERROR ")) == (1, 1)
    assert "encrypted with key 1: give the key file" in log
    assert bodies(restarts.start(), "q") == [b"a secret of some length"]


def test_definitions_sent_in_one_go_are_answered_in_order_when_they_are_kept(
    restarts: Restarts,
) -> None:
    """FEATURES A4.1, A5.11: what waits for nobody is stored together, and says nothing early."""
    client = restarts.start()
    names = [f"q{number}" for number in range(200)]
    requests: list[Any] = [commands.Queue.Declare(queue=name, durable=True) for name in names]
    requests.append(commands.Queue.Bind(queue="q7", exchange="amq.direct", routing_key="k"))
    requests.append(commands.Queue.Purge(queue="q7"))
    requests.append(commands.Queue.Declare(queue="missing", passive=True))
    client.send(b"".join(command_frame(request, 1) for request in requests))
    assert [client.read(commands.Queue.DeclareOk).queue for _ in names] == names
    client.read(commands.Queue.BindOk)
    client.read(commands.Queue.PurgeOk)
    client.expect_channel_error(404, "NOT_FOUND - no queue 'missing' in vhost '/'", (50, 10))
    restarts.kill()
    client = restarts.start()
    for name in names:
        client.call(commands.Queue.Declare(queue=name, passive=True), commands.Queue.DeclareOk)
    publish(client, "k", b"bound", exchange="amq.direct")
    assert get_all(client, "q7")[0].body == b"bound"
