"""Fixtures of the feature tests: clients that are closed when the test ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.features.clients import pika
from tests.features.restarts import Restarts
from tests.features.tiny_memory import LIMIT
from tests.raw_client import RawClient

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers import RunningBroker

Connect = Callable[[], RawClient]


@pytest.fixture
def dial(broker: RunningBroker) -> Iterator[Connect]:
    """Open TCP connections that have said nothing yet."""
    clients: list[RawClient] = []

    def dial() -> RawClient:
        clients.append(RawClient(broker))
        return clients[-1]

    yield dial
    for client in clients:
        client.close()


@pytest.fixture
def connect(dial: Connect) -> Connect:
    """Open connections with channel 1 open."""

    def connect() -> RawClient:
        client = dial()
        client.login()
        client.tune_ok()
        client.open()
        client.open_channel()
        return client

    return connect


@pytest.fixture
def client(connect: Connect) -> RawClient:
    """A raw client with channel 1 open."""
    return connect()


@pytest.fixture
def restarts(tmp_path: Path) -> Iterator[Restarts]:
    """A broker of this test alone, on a data directory; it is not started yet."""
    broker = Restarts(tmp_path / "data")
    yield broker
    broker.close()


@pytest.fixture
def queue(client: RawClient, name: str) -> str:
    """A transient queue that all connections may use."""
    return client.declare(name)


@pytest.fixture
def pika_connect(broker: RunningBroker) -> Iterator[Callable[[], Any]]:
    """Open pika connections."""
    connections: list[Any] = []

    def connect() -> Any:
        connections.append(pika.BlockingConnection(pika.URLParameters(broker.url())))
        return connections[-1]

    yield connect
    for connection in connections:
        if connection.is_open:
            connection.close()


@pytest.fixture
def broker_with(tmp_path: Path) -> Iterator[Callable[..., Restarts]]:
    """Make a broker with room for five bodies."""
    made: list[Restarts] = []

    def make(**settings: object) -> Restarts:
        tiny = {"body_memory_limit": LIMIT, "segment_size": 65536}
        made.append(Restarts(tmp_path / "data", **{**tiny, **settings}))
        return made[-1]

    yield make
    for broker in made:
        broker.close()
