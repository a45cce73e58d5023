"""The set of events is closed: whatever the wire yields is one of these or a method."""

from __future__ import annotations

from typing import get_args

import pytest

from amqpbroker.errors import SoftError
from amqpbroker.wire.codec import Method
from amqpbroker.wire.events import Acks, Event, ProtocolHeader, Publish


def test_the_kinds_of_event() -> None:
    assert set(get_args(Event)) == {ProtocolHeader, Publish, Acks, Method, SoftError}


@pytest.mark.parametrize("event", [ProtocolHeader(), Acks([1])])
def test_events_carry_what_they_declare_and_no_more(event: object) -> None:
    assert not hasattr(event, "__dict__")
