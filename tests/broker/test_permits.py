"""What a session remembers of permissions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpbroker.auth.users import TopicPermissions
from amqpbroker.broker.permits import PERMIT_COUNT_MAX, Permits
from amqpbroker.errors import SoftError

if TYPE_CHECKING:
    from tests.broker.client import MemoryClient


def test_the_memory_of_permissions_is_bounded(client: MemoryClient) -> None:
    permits = client.session.permits
    for number in range(2 * PERMIT_COUNT_MAX):
        permits.check(client.session, "queue", f"q{number}", "read")
    assert len(permits._allowed) <= PERMIT_COUNT_MAX + 1


def test_what_is_remembered_asks_nobody(client: MemoryClient) -> None:
    permits = Permits()
    permits.check(client.session, "queue", "q", "read")
    client.session.principal = None  # whoever asked it would find out
    permits.check(client.session, "queue", "q", "read")
    permits.forget()
    with pytest.raises(AssertionError):
        permits.check(client.session, "queue", "q", "read")


def test_a_change_of_permissions_counts_at_once(client: MemoryClient) -> None:
    client.session.permits.check(client.session, "queue", "q", "read")
    client.broker.users.clear_permissions("guest", "/")
    with pytest.raises(SoftError, match="403"):
        client.session.permits.check(client.session, "queue", "q", "read")


def test_topics_are_checked_by_routing_key(client: MemoryClient) -> None:
    rows = TopicPermissions("^a", "^b")
    client.broker.users.set_topic_permissions("guest", "/", "amq.topic", rows)
    client.session.permits.check_topic(client.session, "amq.topic", "a", "write")
    client.session.permits.check_topic(client.session, "amq.topic", "b", "read")
    with pytest.raises(SoftError, match="403"):
        client.session.permits.check_topic(client.session, "amq.topic", "b", "write")
