"""Programs are turned into bytes the same way on both sides."""

from __future__ import annotations

from typing import Any

import pytest

from interop.differential.channel import Channel
from interop.differential.client import Endpoint
from interop.differential.session import Session, body_of


@pytest.fixture
def session() -> Session:
    return Session(Endpoint("", 0), "d1.")


def test_the_prefix_is_filled_in_at_any_depth(session: Session) -> None:
    table = [["CC", "A", [["S", "@q0"], ["S", "a@b"]]]]
    assert session.resolve(table) == [["CC", "A", [["S", "d1.q0"], ["S", "a@b"]]]]


def test_placeholders_name_what_the_broker_made(session: Session) -> None:
    session.learn("queue", "amq.gen-1")
    assert session.resolve("$queue0") == "amq.gen-1"
    assert session.resolve("$queue1") == "d1.no-queue"


@pytest.mark.parametrize("size", [0, 1, 5, 100, 1000])
def test_a_body_names_its_message(size: int) -> None:
    body = body_of(12, size)
    assert len(body) == size
    assert body.startswith(b"12:"[:size])
    assert size < 5 or body != body_of(13, size)


@pytest.mark.parametrize(
    ("args", "tag"),
    [
        ({"pick": 0}, 2),
        ({"pick": 1}, 1),
        ({"pick": 2}, 3),
        ({"pick": 3}, 2),
        ({"tag": 0}, 0),
        ({"beyond": 0}, 4),
        ({"again": True}, None),
    ],
)
def test_a_tag_is_chosen_by_consumer_then_order(args: dict[str, Any], tag: int | None) -> None:
    channel = Channel(unsettled=[(1, 1), (0, 2), (1, 3)], tag_max=3)
    assert Session.choose_tag(channel, args, is_multiple=False) == tag


def test_multiple_takes_the_last_tag_where_two_consumers_are_interleaved() -> None:
    channel = Channel(unsettled=[(1, 1), (0, 2), (1, 3)], tag_max=3, is_interleaved=True)
    assert Session.choose_tag(channel, {"pick": 0}, is_multiple=True) == 3
