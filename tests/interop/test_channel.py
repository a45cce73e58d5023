"""The tester's memory of a channel: delivery tags and confirms."""

from __future__ import annotations

from interop.differential.channel import Channel
from interop.differential.client import Received


def channel_with(*tags: int, source: str = "t") -> Channel:
    channel = Channel(no_ack_tags={"t": False})
    for tag in tags:
        channel.deliver(source, Received("basic.deliver", {"delivery_tag": tag}))
    return channel


def confirming(count: int) -> Channel:
    channel = Channel(is_confirming=True)
    for number in range(count):
        channel.publish(str(number).encode())
    return channel


def test_a_coalesced_confirm_is_expanded_to_what_is_outstanding() -> None:
    channel = confirming(4)
    assert channel.expand_confirm(2, False) == [2]
    assert channel.expand_confirm(4, True) == [1, 3, 4]
    assert channel.unconfirmed_count == 0


def test_a_confirm_of_no_outstanding_tag_is_told() -> None:
    channel = confirming(1)
    assert channel.expand_confirm(0, True) is None
    assert channel.expand_confirm(2, False) is None
    assert channel.expand_confirm(1, False) == [1]
    assert channel.expand_confirm(1, False) is None


def test_settling_multiple_takes_all_up_to_the_tag() -> None:
    channel = channel_with(1, 2, 3)
    channel.settle(2, is_multiple=True)
    assert channel.unsettled == [(0, 3)]


def test_tag_zero_takes_all() -> None:
    channel = channel_with(1, 2)
    channel.settle(0, is_multiple=True)
    assert channel.unsettled == []


def test_a_rollback_brings_back_what_was_settled() -> None:
    channel = channel_with(1, 2)
    channel.is_transactional = True
    channel.settle(1, is_multiple=False)
    channel.roll_back()
    assert channel.unsettled == [(0, 1), (0, 2)]


def test_what_needs_no_ack_is_not_unsettled() -> None:
    channel = Channel(gets_sent=[True, False])
    for tag in (1, 2):
        channel.deliver("", Received("basic.get-ok", {"delivery_tag": tag}))
    assert channel.unsettled == [(-1, 2)]
