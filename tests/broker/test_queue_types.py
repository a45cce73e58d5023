"""Which class a queue type has."""

from __future__ import annotations

import pytest

from amqpbroker.broker.queue import Queue
from amqpbroker.broker.queue_types import create_queue
from amqpbroker.broker.quorum_queue import QuorumQueue
from amqpbroker.broker.stream_queue import StreamQueue
from amqpbroker.wire.table import Field


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({}, Queue),
        ({"x-queue-type": Field("S", b"classic")}, Queue),
        ({"x-queue-type": Field("S", b"quorum")}, QuorumQueue),
        ({"x-queue-type": Field("S", b"stream")}, StreamQueue),
    ],
)
def test_the_type_is_in_the_arguments(arguments: dict[str, Field], kind: type[Queue]) -> None:
    queue = create_queue("q", arguments=arguments, is_durable=True, is_auto_delete=False)
    assert type(queue) is kind
    assert queue.arguments == arguments
