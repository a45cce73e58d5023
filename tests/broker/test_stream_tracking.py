"""Places of consumers that the broker keeps (FEATURES A11.8)."""

from __future__ import annotations

import random

import pytest

from amqpbroker.broker.stream_tracking import (
    TAG_COUNT_MAX,
    Track,
    Tracked,
    TrackedMessage,
    wants_tracking,
)
from amqpbroker.errors import SoftError
from amqpbroker.wire.table import Field

TRACKING = "x-stream-automatic-offset-tracking"


@pytest.mark.parametrize("seed", range(10))
def test_the_place_is_below_everything_that_is_not_acknowledged(seed: int) -> None:
    rng = random.Random(seed)
    tracked = Tracked(lambda: None)
    track = Track(tracked, "t")
    lent: dict[int, TrackedMessage] = {}
    acknowledged: set[int] = set()
    following = 100
    for _ in range(200):
        if rng.random() < 0.5 or len(lent) == len(acknowledged):
            following += rng.randrange(1, 3)  # filters leave gaps
            lent[following] = track.lend(following)
        else:
            offset = rng.choice([n for n in lent if n not in acknowledged])
            lent[offset].settle()
            acknowledged.add(offset)
        if "t" in tracked.offsets:
            place = tracked.offsets["t"]
            assert all(n in acknowledged for n in lent if n < place)
            left = [n for n in lent if n not in acknowledged]
            first = min(lent)
            if first in acknowledged and left:
                assert place <= left[0]


def test_places_are_stored_and_loaded() -> None:
    tracked = Tracked(lambda: None)
    tracked.note("a", 1)
    tracked.note("é", 2)
    tracked.note("a", 3)
    loaded = Tracked(lambda: None)
    loaded.load(tracked.to_bytes())
    assert loaded.offsets == {"é": 2, "a": 3}


@pytest.mark.parametrize("data", [b"", b"[]", b'{"a": "x"}'])
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises((ValueError, AttributeError)):
        Tracked(lambda: None).load(data)


def test_the_tag_that_was_still_for_longest_is_forgotten() -> None:
    changes: list[None] = []
    tracked = Tracked(lambda: changes.append(None))
    for number in range(TAG_COUNT_MAX + 1):
        tracked.note(str(number), number)
    assert len(tracked.offsets) == TAG_COUNT_MAX
    assert "0" not in tracked.offsets
    assert len(changes) == TAG_COUNT_MAX + 1


def test_only_who_has_a_tag_of_its_own_is_tracked() -> None:
    assert not wants_tracking({}, "t", "queue")
    assert not wants_tracking({TRACKING: Field("t", False)}, "t", "queue")
    assert wants_tracking({TRACKING: Field("t", True)}, "t", "queue")
    with pytest.raises(SoftError) as caught:
        wants_tracking({TRACKING: Field("t", True)}, "amq.ctag-x", "queue")
    assert caught.value.reply_code == 406
