"""A vhost cannot slow or starve another: limits of rates, and turns of bounded size (A17.3)."""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from typing import TYPE_CHECKING, Final

import pytest
from pamqp import commands

from tests.amqp_bytes import command_frame, content_frames
from tests.conftest import EXTERNAL_URL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.features.conftest import Connect
    from tests.helpers import RunningBroker
    from tests.raw_client import RawClient

pytestmark = pytest.mark.skipif(bool(EXTERNAL_URL), reason="RabbitMQ has no such limits")

RATE: Final = 200
"""Messages a second."""
WATCHED_S: Final = 2.0
SOON_S: Final = 0.5
"""Far below what the flood takes, and far above what a busy machine adds."""


@pytest.fixture
def vhost(broker: RunningBroker, name: str) -> Iterator[str]:
    """The neighbour's vhost, with a queue that drops what it gets."""
    management = broker.management
    management.request("PUT", f"/vhosts/{name}", {})
    every = dict.fromkeys(("configure", "write", "read"), ".*")
    management.request("PUT", f"/permissions/{name}/guest", every)
    queue = {"durable": False, "arguments": {"x-max-length": 10}}
    management.request("PUT", f"/queues/{name}/q", queue)
    yield name
    management.request("DELETE", f"/vhosts/{name}")


def enter(client: RawClient, vhost: str) -> RawClient:
    client.login()
    client.tune_ok()
    client.open(vhost)
    client.open_channel()
    return client


def publishes(count: int, body: bytes = b"x" * 100) -> bytes:
    """Return the frames of messages to the queue q."""
    method = command_frame(commands.Basic.Publish(routing_key="q"), 1)
    return (method + content_frames(1, body, bytes(2))) * count


@pytest.mark.parametrize("limit", ["vhost-limits/{vhost}", "user-limits/guest"])
def test_a_publisher_above_its_rate_is_read_more_slowly(
    dial: Connect, broker: RunningBroker, vhost: str, limit: str
) -> None:
    path = f"/{limit.format(vhost=vhost)}/max-publish-rate"
    client = enter(dial(), vhost)
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    broker.management.request("PUT", path, {"value": RATE})
    try:
        client.send(publishes(RATE))
        start, confirmed = time.monotonic(), 0
        while confirmed < RATE:
            confirmed = client.read(commands.Basic.Ack).delivery_tag
        client.send(publishes(RATE))
        while confirmed < 2 * RATE:
            confirmed = client.read(commands.Basic.Ack).delivery_tag
        # Half a second is the burst; one read may be ahead.
        assert time.monotonic() - start > 0.5
    finally:
        broker.management.request("DELETE", path)
    start = time.monotonic()
    client.send(publishes(RATE))
    while confirmed < 3 * RATE:
        confirmed = client.read(commands.Basic.Ack).delivery_tag
    assert time.monotonic() - start < 2


def test_bytes_are_limited_too(dial: Connect, broker: RunningBroker, vhost: str) -> None:
    path = f"/vhost-limits/{vhost}/max-publish-bytes-rate"
    broker.management.request("PUT", path, {"value": 100_000})
    client = enter(dial(), vhost)
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    start, confirmed = time.monotonic(), 0
    client.send(publishes(15, bytes(10_000)))
    while confirmed < 15:
        confirmed = client.read(commands.Basic.Ack).delivery_tag
    client.send(publishes(1))
    while confirmed < 16:
        confirmed = client.read(commands.Basic.Ack).delivery_tag
    assert 0.5 < time.monotonic() - start < 5


def test_a_publisher_that_waits_is_told_of_its_end(
    dial: Connect, broker: RunningBroker, vhost: str
) -> None:
    client = enter(dial(), vhost)
    broker.management.request("PUT", f"/vhost-limits/{vhost}/max-publish-rate", {"value": 0})
    client.send(publishes(1))
    other = enter(dial(), vhost)
    other.counts("q")
    broker.management.request("DELETE", f"/vhosts/{vhost}")
    broker.management.request("PUT", f"/vhosts/{vhost}", {})
    client.expect_connection_error(320, f"CONNECTION_FORCED - vhost '{vhost}' is deleted")


def test_another_vhost_does_not_wait_for_a_flood(
    dial: Connect, connect: Connect, vhost: str, name: str
) -> None:
    flooders = [enter(dial(), vhost) for _ in range(8)]
    victim = connect()
    victim.declare(name, exclusive=True)
    is_over = threading.Event()
    threads = [threading.Thread(target=flood, args=(client, is_over)) for client in flooders]
    for thread in threads:
        thread.start()
    waits = []
    try:
        end = time.monotonic() + WATCHED_S
        while time.monotonic() < end:
            start = time.monotonic()
            victim.publish(name, b"x")
            while victim.get(name) is None:
                pass
            waits.append(time.monotonic() - start)
    finally:
        is_over.set()
        for client in flooders:
            client.abort()
        for thread in threads:
            thread.join()
    assert statistics.median(waits) < SOON_S
    assert max(waits) < 8 * SOON_S


def flood(client: RawClient, is_over: threading.Event) -> None:
    data = publishes(500)
    with contextlib.suppress(OSError):
        while not is_over.is_set():
            client.send(data)
