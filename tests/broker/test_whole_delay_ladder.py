"""The ladder of delayed queues that kombu declares for Celery, with a clock of ours (A10.12).

Level N delays by 2^N seconds, and a message says bit by bit, in its routing key, on which levels it
waits: 28 topic exchanges, and 28 queues whose dead letters go one level down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import commands

from tests.broker.clock import Clock

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker
    from tests.amqp_bytes import Message, TypedTable
    from tests.broker.client import MemoryClient

LEVEL_COUNT = 28
DELIVERY = "celery_delayed_delivery"


def level_name(level: int) -> str:
    return f"celery_delayed_{level}" if level >= 0 else DELIVERY


def declare_ladder(client: MemoryClient, queue_type: bytes) -> None:
    """Declare what kombu.transport.native_delayed_delivery does."""
    for level in range(-1, LEVEL_COUNT):
        command = commands.Exchange.Declare(
            exchange=level_name(level), exchange_type="topic", durable=True
        )
        client.call(command, commands.Exchange.DeclareOk)
    for level in range(LEVEL_COUNT):
        name, below = level_name(level), level_name(level - 1)
        arguments: TypedTable = {
            "x-queue-type": ("S", queue_type),
            "x-overflow": ("S", b"reject-publish"),
            "x-message-ttl": ("l", 2**level * 1000),
            "x-dead-letter-exchange": ("S", below.encode()),
        }
        if queue_type == b"quorum":
            arguments = {**arguments, "x-dead-letter-strategy": ("S", b"at-least-once")}
        client.declare(name, arguments, durable=True)
        stars = "*." * (LEVEL_COUNT - 1 - level)
        client.bind(name, name, f"{stars}1.#")
        bind = commands.Exchange.Bind(destination=below, source=name, routing_key=f"{stars}0.#")
        client.call(bind, commands.Exchange.BindOk)


def delay(client: MemoryClient, seconds: int, body: bytes) -> None:
    bits = ".".join(f"{seconds:0{LEVEL_COUNT}b}")
    top = level_name(LEVEL_COUNT - 1)
    client.publish(f"{bits}.jobs", body, exchange=top)


def arrivals(client: MemoryClient, broker: Broker, clock: Clock) -> list[tuple[float, Message]]:
    """Let all the time pass that is needed; return when which message came."""
    start, come = clock.now, []
    while (due := broker.timers.fire()) is not None:
        while message := client.get("jobs"):
            come.append((clock.now - start, message))
        clock.now = max(clock.now, due)
    while message := client.get("jobs"):
        come.append((clock.now - start, message))
    return come


@pytest.mark.parametrize("queue_type", [b"classic", b"quorum"])
def test_a_message_comes_after_the_sum_of_its_levels(
    client: MemoryClient, broker: Broker, queue_type: bytes
) -> None:
    clock = broker.timers.now = Clock()
    declare_ladder(client, queue_type)
    client.bind(client.declare("jobs"), DELIVERY, "#.jobs")
    delays = [2**LEVEL_COUNT - 1, 1, 5, 0, 86_400, 5]
    for seconds in delays:
        delay(client, seconds, b"%d" % seconds)
    come = arrivals(client, broker, clock)
    assert [round(at, 6) for at, _ in come] == sorted(delays)
    assert [int(message.body) for _, message in come] == sorted(delays)
    deaths = come[-1][1].headers["x-death"]
    assert [death["queue"] for death in deaths] == [level_name(n) for n in range(LEVEL_COUNT)]
    assert all(client.counts(level_name(level)) == (0, 0) for level in range(LEVEL_COUNT))


def test_a_task_that_is_retried_goes_down_the_ladder_again(
    client: MemoryClient, broker: Broker
) -> None:
    clock = broker.timers.now = Clock()
    declare_ladder(client, b"quorum")
    client.bind(client.declare("jobs"), DELIVERY, "#.jobs")
    for _ in range(3):
        delay(client, 3, b"try")
        ((at, message),) = arrivals(client, broker, clock)
        assert (round(at, 6), message.body) == (3, b"try")
