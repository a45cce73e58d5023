"""Celery runs unchanged on classic and quorum queues: ETA, retries, revokes (N11, A10.12).

With quorum queues a message that is to come later goes down kombu's ladder of 28 delayed queues.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from pamqp import commands

from tests.helpers import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.helpers import RunningBroker
    from tests.raw_client import RawClient

LEVELS = [f"celery_delayed_{level}" for level in range(28)]
EXPECTED = """\
now [3, 0]
countdown [5, 0] on time
eta [7, 0] on time
retries [9, 2]
revoked: revoked
"""


@pytest.fixture
def client_after(connect: Callable[[], RawClient], name: str) -> Iterator[RawClient]:
    """A client; at the end what Celery has left is deleted."""
    client = connect()
    yield client
    client = connect()
    for queue in (*LEVELS, name):
        client.call(commands.Queue.Delete(queue=queue), commands.Queue.DeleteOk)
    for exchange in (*LEVELS, "celery_delayed_delivery", name):
        client.call(commands.Exchange.Delete(exchange=exchange), commands.Exchange.DeleteOk)


@pytest.mark.timeout(6 * DEADLINE_S)
@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_celery_runs_unchanged(
    broker: RunningBroker, client_after: RawClient, name: str, queue_type: str
) -> None:
    program = (sys.executable, "-m", "tests.features.celery_program")
    result = subprocess.run(
        (*program, broker.url(), queue_type, name),
        capture_output=True,
        text=True,
        timeout=5 * DEADLINE_S,
        check=False,
    )
    assert result.stdout == EXPECTED, result.stderr
    if queue_type == "quorum":  # what was delayed went down the ladder
        assert [client_after.counts(level)[1] for level in LEVELS] == [0] * len(LEVELS)
