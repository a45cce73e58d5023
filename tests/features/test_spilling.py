"""Transient backlogs beyond the memory budget behave as all others do (FEATURES S22, S24)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from pamqp import commands

from tests.amqp_bytes import properties
from tests.features.clients import pika
from tests.features.tiny_memory import BODIES, TO_GRAVE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.amqp_bytes import TypedTable
    from tests.features.restarts import Restarts
    from tests.raw_client import RawClient

pytestmark = [pytest.mark.timeout(60), pytest.mark.deviates("needs a broker of its own")]


@pytest.fixture
def restarts(broker_with: Callable[..., Restarts]) -> Restarts:
    broker = broker_with()
    broker.has_management = True
    return broker


@pytest.fixture
def client(restarts: Restarts) -> RawClient:
    client = restarts.start()
    client.declare("grave")
    return client


def fill(
    client: RawClient,
    arguments: TypedTable | None = None,
    *,
    durable: bool = False,
    **values: object,
) -> None:
    """Publish ``BODIES`` to q, some at a time."""
    client.declare("q", arguments, durable=durable)
    header = properties(delivery_mode=1, **values)
    for start in range(0, len(BODIES), 10):
        client.publish("q", *BODIES[start : start + 10], header=header)
    client.counts("q")


def spilled(restarts: Restarts) -> list[Path]:
    directory = restarts.data_dir / "spill"
    return sorted(directory.glob("*.log")) if directory.exists() else []


def consumed(client: RawClient, count: int = len(BODIES), queue: str = "q") -> list[bytes]:
    """Consume with a prefetch, acknowledging each message; return the bodies."""
    client.call(commands.Basic.Qos(prefetch_count=7), commands.Basic.QosOk)
    tag = client.consume(queue)
    bodies = []
    for _ in range(count):
        message = client.deliver()
        bodies.append(message.body)
        client.ack(message.tag)
    client.call(commands.Basic.Cancel(tag), commands.Basic.CancelOk)
    assert client.counts(queue) == (0, 0)
    return bodies


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline


@pytest.mark.parametrize("durable", [False, True])
def test_everything_is_delivered_in_order_and_the_disk_is_free_again(
    restarts: Restarts, client: RawClient, durable: bool
) -> None:
    fill(client, durable=durable)
    wait_until(lambda: bool(spilled(restarts)))
    memory = restarts.api.get("/overview")["body_memory"]
    assert memory["ram"] + memory["paged_out"] == sum(map(len, BODIES))
    assert memory["paged_out"] > 80_000
    shown = restarts.api.get("/queues/%2F/q")
    assert shown["message_bytes_paged_out"] == memory["paged_out"]
    assert consumed(client) == BODIES
    wait_until(lambda: not spilled(restarts))
    memory = restarts.api.get("/overview")["body_memory"]
    assert (memory["ram"], memory["paged_out"]) == (0, 0)


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


def test_every_queue_has_bodies_of_its_own(client: RawClient) -> None:
    names = [client.declare(f"q{number}") for number in range(3)]
    for name in names:
        bind = commands.Queue.Bind(queue=name, exchange="amq.fanout")
        client.call(bind, commands.Queue.BindOk)
    client.publish("", *BODIES, exchange="amq.fanout")
    for name in names:
        assert consumed(client, queue=name) == BODIES


def test_a_restart_ignores_them(restarts: Restarts, client: RawClient) -> None:
    fill(client, durable=True)
    wait_until(lambda: bool(spilled(restarts)))
    restarts.stop()
    assert spilled(restarts) == []
    client = restarts.start()
    assert client.counts("q") == (0, 0)


def test_the_files_that_a_kill_leaves_are_removed_by_the_next_start(
    restarts: Restarts, client: RawClient
) -> None:
    fill(client, durable=True)
    wait_until(lambda: bool(spilled(restarts)))
    restarts.kill()
    assert spilled(restarts)
    client = restarts.start()
    assert list((restarts.data_dir / "spill").iterdir()) == []
    assert client.counts("q") == (0, 0)
    fill(client, durable=True)
    assert consumed(client) == BODIES


def test_they_are_encrypted(broker_with: Callable[..., Restarts], tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"1 {'5a' * 32}\n")
    keys.chmod(0o600)
    restarts = broker_with(encryption_key_file=keys)
    client = restarts.start()
    fill(client)
    wait_until(lambda: bool(spilled(restarts)))
    assert not any(BODIES[50] in path.read_bytes() for path in spilled(restarts))
    assert consumed(client) == BODIES


def test_pika_sees_no_difference(restarts: Restarts, client: RawClient) -> None:
    assert client.declare("grave") == "grave"
    port = restarts.port
    with pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("q")
        for body in BODIES:
            channel.basic_publish("", "q", body, pika.BasicProperties(message_id=body[:5].decode()))
        found = []
        for method, header, body in channel.consume("q", inactivity_timeout=10):
            assert header.message_id == body[:5].decode()
            found.append(body)
            channel.basic_ack(method.delivery_tag)
            if len(found) == len(BODIES):
                break
    assert found == BODIES
