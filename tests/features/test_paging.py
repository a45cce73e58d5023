"""Backlogs beyond the memory budget behave as all others do (FEATURES S22, S24)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from pamqp import commands

from tests.amqp_bytes import properties
from tests.features.tiny_memory import BODIES, LIMIT, TO_GRAVE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.amqp_bytes import TypedTable
    from tests.features.restarts import Restarts
    from tests.raw_client import RawClient

pytestmark = [pytest.mark.timeout(60), pytest.mark.deviates("needs a broker of its own")]


@pytest.fixture
def restarts(broker_with: Callable[..., Restarts]) -> Restarts:
    return broker_with()


@pytest.fixture
def client(restarts: Restarts) -> RawClient:
    """A client whose publishes are confirmed, and a queue for the dead."""
    client = restarts.start()
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    client.declare("grave", durable=True)
    return client


def fill(client: RawClient, arguments: TypedTable | None = None, **values: object) -> None:
    """Publish ``BODIES`` to q, a few per commit, so that most are on the disk only."""
    client.declare("q", arguments, durable=True)
    publish(client, BODIES, **values)


def publish(client: RawClient, bodies: list[bytes], **values: object) -> None:
    header = properties(delivery_mode=2, **values)
    for start in range(0, len(bodies), 10):
        client.publish("q", *bodies[start : start + 10], header=header)
        left = 10
        while left:
            ack = client.read(commands.Basic.Ack)
            tag = ack.delivery_tag or 0
            left = (10 - tag % 10) % 10 if ack.multiple else left - 1


def consumed(client: RawClient, count: int = len(BODIES), queue: str = "q") -> list[bytes]:
    """Consume with a prefetch, acknowledging each message; return the bodies."""
    client.call(commands.Basic.Qos(prefetch_count=7), commands.Basic.QosOk)
    tag = client.consume(queue)
    bodies = []
    for _ in range(count):
        message = client.deliver()
        bodies.append(message.body)
        client.ack(message.command.delivery_tag)  # type: ignore[attr-defined]
    client.call(commands.Basic.Cancel(tag), commands.Basic.CancelOk)
    assert client.counts(queue) == (0, 0)
    return bodies


def test_everything_is_delivered_in_order(client: RawClient) -> None:
    fill(client)
    assert consumed(client) == BODIES


def test_messages_are_fetched_one_by_one(client: RawClient) -> None:
    fill(client)
    assert client.get_all("q") == BODIES


def test_requeued_messages_come_again_in_their_places(client: RawClient) -> None:
    fill(client)
    tag = client.consume("q")
    assert client.delivers(len(BODIES)) == BODIES
    client.call(commands.Basic.Cancel(tag), commands.Basic.CancelOk)
    client.nack(0, multiple=True)
    assert consumed(client) == BODIES


def test_rejected_messages_become_dead_letters(client: RawClient) -> None:
    fill(client, TO_GRAVE)
    client.consume("q")
    assert client.delivers(len(BODIES)) == BODIES
    client.nack(0, multiple=True, requeue=False)
    assert consumed(client, queue="grave") == BODIES


def test_expired_messages_become_dead_letters(client: RawClient) -> None:
    fill(client, TO_GRAVE, expiration="300")
    assert consumed(client, queue="grave") == BODIES


def test_a_length_limit_drops_the_head(client: RawClient) -> None:
    fill(client, {**TO_GRAVE, "x-max-length": ("I", 20)})
    assert client.get_all("q") == BODIES[-20:]
    assert client.get_all("grave") == BODIES[:-20]


def test_higher_priorities_go_first(client: RawClient) -> None:
    client.declare("q", {"x-max-priority": ("b", 3)}, durable=True)
    for priority in (1, 3, 2):
        publish(client, [b"%d" % priority + body for body in BODIES[:30]], priority=priority)
    expected = [b"%d" % priority + body for priority in (3, 2, 1) for body in BODIES[:30]]
    assert consumed(client, 90) == expected


def test_a_purge_takes_what_is_on_the_disk_only(client: RawClient) -> None:
    fill(client)
    purged = client.call(commands.Queue.Purge(queue="q"), commands.Queue.PurgeOk)
    assert purged.message_count == len(BODIES)
    assert client.get_all("q") == []
    publish(client, BODIES[:10])
    assert client.get_all("q") == BODIES[:10]


def test_delayed_messages_come_back_when_they_are_due(client: RawClient) -> None:
    fill(client, headers={"x-delay": ("I", 400)})
    assert client.counts("q") == (0, 0)
    assert consumed(client) == BODIES


def test_a_kill_loses_nothing(restarts: Restarts, client: RawClient) -> None:
    fill(client)
    restarts.kill()
    client = restarts.start()
    assert consumed(client) == BODIES
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    publish(client, BODIES[:50])
    restarts.kill()
    assert consumed(restarts.start(), 50) == BODIES[:50]


def test_encrypted_messages_come_back(broker_with: Callable[..., Restarts], tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"1 {'5a' * 32}\n")
    keys.chmod(0o600)
    restarts = broker_with(encryption_key_file=keys)
    client = restarts.start()
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    fill(client)
    files = list((restarts.data_dir / "shard-0").glob("*.log"))
    assert not any(BODIES[50] in path.read_bytes() for path in files)
    assert consumed(client) == BODIES
    publish(client, BODIES)
    restarts.kill()
    assert consumed(restarts.start()) == BODIES


def test_segments_go_and_survivors_are_moved(restarts: Restarts, client: RawClient) -> None:
    """Every tenth message is left; in the end it lies in the last segment, and others are gone."""
    fill(client)
    client.consume("q", tag="c")
    assert client.delivers(len(BODIES)) == BODIES
    for tag in range(1, len(BODIES) + 1):
        if tag % 10 != 1:
            client.ack(tag)
    client.call(commands.Basic.Cancel("c"), commands.Basic.CancelOk)
    client.nack(0, multiple=True)
    kept = BODIES[::10]
    first = min(files_of(restarts))
    deadline = time.monotonic() + 10
    while first in files_of(restarts) and time.monotonic() < deadline:
        publish(client, BODIES[:10])
        kept += BODIES[:10]
    assert first not in files_of(restarts)
    restarts.kill()
    assert consumed(restarts.start(), len(kept)) == kept


def files_of(restarts: Restarts) -> set[Path]:
    return set((restarts.data_dir / "shard-0").glob("*.log"))


def test_a_damaged_file_is_told_and_nothing_is_lost(restarts: Restarts, client: RawClient) -> None:
    fill(client)
    (path,) = [path for path in files_of(restarts) if BODIES[30] in path.read_bytes()]
    place = path.read_bytes().index(BODIES[30])
    write_at(path, place, b"?")
    client.consume("q")
    assert client.delivers(30) == BODIES[:30]
    client.send_command(commands.Basic.Get(queue="q"))
    client.expect_connection_error(541, "INTERNAL_ERROR - the message cannot be read", (60, 70))
    restarts.stop()
    (line,) = [line for line in restarts.log.splitlines() if " CRITICAL " in line]
    assert f"{path}, position " in line
    assert "wrong checksum" in line
    assert "`amqpbroker log verify`, mend with `amqpbroker log repair`" in line
    write_at(path, place, BODIES[30][:1])
    assert consumed(restarts.start()) == BODIES


def write_at(path: Path, position: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        file.write(data)


def test_messages_are_fetched_over_http(restarts: Restarts) -> None:
    restarts.has_management = True
    client = restarts.start()
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    fill(client)
    request = {"count": 1000, "ackmode": "ack_requeue_true", "encoding": "auto"}
    memory = restarts.api.get("/overview")["body_memory"]
    assert memory["ram"] <= memory["limit"] == LIMIT
    assert memory["ram"] + memory["paged_out"] == sum(map(len, BODIES))
    rows = restarts.api("POST", "/queues/%2F/q/get", request).body
    assert [row["payload"].encode() for row in rows] == BODIES
    assert consumed(client) == BODIES
