"""Limits of a queue: what fits, what must go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.broker.bodies import in_memory
from amqpbroker.broker.indexed_ready import IndexedReady
from amqpbroker.broker.limits import Limits
from amqpbroker.broker.message import Message
from amqpbroker.broker.settings import QueueSettings
from amqpbroker.wire.content import Publication

if TYPE_CHECKING:
    from collections.abc import Sequence

SIZES = st.lists(st.integers(0, 4), max_size=12)
LIMIT = st.none() | st.integers(0, 8)


def filled(sizes: Sequence[int]) -> IndexedReady:
    ready = IndexedReady()
    for size in sizes:
        ready.extend([Message(Publication.of("", "q", {}, size), b"x" * size)])
    return ready


def fits(sizes: Sequence[int], settings: QueueSettings) -> bool:
    length, size = settings.max_length, settings.max_size
    return (length is None or len(sizes) <= length) and (size is None or sum(sizes) <= size)


def test_no_limits_are_no_object() -> None:
    assert Limits.of(QueueSettings(message_ttl_ms=1)) is None


@given(SIZES, LIMIT, LIMIT)
def test_the_head_makes_room(sizes: list[int], length: int | None, size: int | None) -> None:
    settings = QueueSettings(max_length=length, max_size=size)
    ready = filled(sizes)
    dropped = Limits(settings).drop_head(ready)
    assert [len(body) for body in in_memory(dropped)] == sizes[: len(dropped)]
    kept = [len(body) for body in in_memory(list(ready))]
    assert kept == sizes[len(dropped) :]
    assert fits(kept, settings)
    assert not dropped or not fits(sizes[len(dropped) - 1 :], settings)


@given(SIZES, st.integers(0, 4), LIMIT, LIMIT)
def test_one_more_fits_if_the_limits_hold_with_it(
    sizes: list[int], size: int, length: int | None, size_max: int | None
) -> None:
    settings = QueueSettings(max_length=length, max_size=size_max)
    assert Limits(settings).has_room(filled(sizes), size) == fits([*sizes, size], settings)


@given(SIZES, st.integers(0, 4), st.integers(0, 6), LIMIT, LIMIT)
def test_the_excess_is_the_least_that_must_go(
    old: list[int], size: int, count: int, length: int | None, size_max: int | None
) -> None:
    settings = QueueSettings(max_length=length, max_size=size_max)
    if not fits(old, settings):
        return
    excess = Limits(settings).excess(filled([*old, *[size] * count]), size)
    assert excess == min(
        n for n in range(count + 1) if fits([*old, *[size] * (count - n)], settings)
    )


@given(SIZES, st.integers(0, 3), st.integers(1, 6), LIMIT, LIMIT)
def test_late_limits_refuse_from_the_one_after_the_first_that_is_too_much(
    sizes: list[int], size: int, count: int, length: int | None, max_size: int | None
) -> None:
    settings = QueueSettings(max_length=length, max_size=max_size, overflow="reject-publish")
    limits = Limits.of(settings, is_late=True)
    if limits is None:
        return
    taken = list(sizes)
    for _ in range(count):  # one by one, as a publisher that waits sees it
        if fits(taken, settings):
            taken.append(size)
    refused = count - (len(taken) - len(sizes))
    assert limits.has_room(filled(sizes), size) == fits(sizes, settings)
    if fits(sizes, settings):
        assert limits.excess(filled([*sizes, *[size] * count]), size) == refused
