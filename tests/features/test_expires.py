"""x-expires: queues that nobody uses (FEATURES A9.3)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from pamqp import commands

from tests.helpers import DEADLINE_S

if TYPE_CHECKING:
    from tests.amqp_bytes import TypedTable
    from tests.features.conftest import Connect
    from tests.raw_client import RawClient

SHORT_MS = 150


def expiring(ms: int = SHORT_MS) -> TypedTable:
    return {"x-expires": ("I", ms)}


def wait_until_gone(client: RawClient, queue: str, after_s: float = SHORT_MS / 1000) -> None:
    """Wait until ``queue`` has gone, which must take ``after_s`` at least.

    Whether a queue is there is seen without using it: the default exchange returns what it cannot
    route.
    """
    start = time.monotonic()
    while time.monotonic() - start < DEADLINE_S:
        client.publish(queue, b"x", mandatory=True)
        client.send_command(commands.Basic.Qos())
        if client.read_frame().ids == (60, 50):
            client.read_frame()
            client.read_frame()
            client.read(commands.Basic.QosOk)
            assert time.monotonic() - start >= after_s * 0.9
            return
    raise AssertionError(f"{queue} is still there")


def test_a_queue_goes_without_use(client: RawClient, name: str) -> None:
    client.declare(name, expiring())
    wait_until_gone(client, name)
    client.send_command(commands.Queue.Declare(queue=name, passive=True))
    text = f"NOT_FOUND - no {client.resource('queue', name)}"
    client.expect_channel_error(404, text, (50, 10))


def test_its_messages_are_not_dead_lettered(client: RawClient, name: str) -> None:
    grave = client.declare(f"{name}-grave")
    dead = {"x-dead-letter-exchange": ("S", ""), "x-dead-letter-routing-key": ("S", grave)}
    client.declare(name, {**expiring(), **dead})
    client.publish(name, b"lost")
    wait_until_gone(client, name)
    assert client.counts(grave)[0] == 0


def test_a_consumer_keeps_it(connect: Connect, client: RawClient, name: str) -> None:
    other = connect()
    other.declare(name, expiring())
    tag = other.consume(name, no_ack=True)
    client.declare(f"{name}-clock", expiring(3 * SHORT_MS))
    wait_until_gone(client, f"{name}-clock")
    client.publish(name, b"x")
    assert other.deliver().body == b"x"
    other.call(commands.Basic.Cancel(tag), commands.Basic.CancelOk)
    wait_until_gone(client, name)


@pytest.mark.parametrize("use", ["get", "declare", "passive"])
def test_use_starts_the_time_anew(client: RawClient, name: str, use: str) -> None:
    client.declare(name, expiring(400))
    client.declare(f"{name}-clock", expiring(250))
    wait_until_gone(client, f"{name}-clock")
    if use == "get":
        assert client.get(name) is None
    elif use == "declare":
        client.declare(name, expiring(400))
    else:
        client.declare(name, passive=True)
    wait_until_gone(client, name, after_s=0.4)


def test_a_name_can_be_used_again(client: RawClient, name: str) -> None:
    client.declare(name, expiring())
    wait_until_gone(client, name)
    client.declare(name)
    client.publish(name, b"x")
    assert client.get_all(name) == [b"x"]


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        (("I", 0), "{value_zero,0}"),
        (("I", -1), "{value_negative,-1}"),
        (("l", 315_360_000_001), "{value_too_large,315360000001}"),
        (("S", "1"), '"expected integer, got longstr"'),
    ],
)
def test_a_time_must_be_one(
    client: RawClient, name: str, value: tuple[str, Any], wrong: str
) -> None:
    client.send_command(commands.Queue.Declare(queue=name), arguments={"x-expires": value})
    where = client.resource("queue", name)
    text = f"PRECONDITION_FAILED - invalid arg 'x-expires' for {where}: {wrong}"
    client.expect_channel_error(406, text, (50, 10))
