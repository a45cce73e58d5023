"""Fixtures for all tests: the broker under test, a unique name, the event loop.

With ``AMQPBROKER_TEST_URL`` set (``amqp://guest:guest@127.0.0.1:5672/``) the tests run against
that broker, for instance a RabbitMQ, instead of starting ours. What ours does differently on
purpose is marked ``deviates(reason)`` and skipped there.

The property tests draw the same examples in every run, so that a change is judged by its own
merits, and however slow the machine is; ``--hypothesis-profile=default`` draws others.
"""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.helpers import RunningBroker, external_broker, start_broker

if TYPE_CHECKING:
    from collections.abc import Iterator

settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")

EXTERNAL_URL = os.environ.get("AMQPBROKER_TEST_URL", "")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks of this suite."""
    config.addinivalue_line(
        "markers", "deviates(reason): differs from RabbitMQ on purpose; skipped on other brokers"
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what only our broker does when the tests run against another one."""
    mark = item.get_closest_marker("deviates")
    if EXTERNAL_URL and mark is not None:
        pytest.skip(f"deviates: {mark.args[0]}")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def broker() -> Iterator[RunningBroker]:
    """The broker under test, one process for the whole run."""
    running = (
        external_broker(EXTERNAL_URL) if EXTERNAL_URL else start_broker(login_failure_delay_s=0.05)
    )
    with running as broker:
        yield broker


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"t-{uuid.uuid4().hex[:16]}"
