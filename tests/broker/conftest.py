"""Fixtures of the domain's tests: a broker in memory and clients of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.broker.client import MemoryClient, connect, make_broker

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker


@pytest.fixture
def broker() -> Broker:
    """A broker of its own for each test, without sockets."""
    return make_broker()


@pytest.fixture
def client(broker: Broker) -> MemoryClient:
    """A client with channel 1 open."""
    return connect(broker)


@pytest.fixture
def other(broker: Broker) -> MemoryClient:
    """Another connection, with channel 1 open."""
    return connect(broker)
