"""Confirms: in order, once per batch, and only for what is safe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands

from tests.amqp_bytes import command_frame, content_frames
from tests.broker.client import connect, make_broker

if TYPE_CHECKING:
    from amqpbroker.broker.confirms import Confirms
    from tests.broker.client import MemoryClient


@pytest.fixture
def confirms(client: MemoryClient) -> Confirms:
    """Those of channel 1, on which confirm.select was sent."""
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    confirms = client.channel().confirms
    assert confirms is not None
    return confirms


def acked(client: MemoryClient) -> list[tuple[int, bool]]:
    """Return tag and multiple of all confirms that have come; fail on anything else."""
    client.broker.flush()
    got = []
    while not client.is_silent:
        ack = client.read(commands.Basic.Ack)
        got.append((ack.delivery_tag or 0, bool(ack.multiple)))
    return got


@pytest.mark.usefixtures("confirms")
def test_a_batch_is_confirmed_at_once(client: MemoryClient) -> None:
    client.declare("q")
    client.publish("q", b"1")
    client.publish("q", b"2", b"3", b"4")
    client.publish("nowhere", b"5")
    assert acked(client) == [(1, False), (4, True), (5, False)]


@pytest.mark.usefixtures("confirms")
def test_selecting_twice_does_not_count_anew(client: MemoryClient) -> None:
    client.publish("nowhere", b"1")
    assert acked(client) == [(1, False)]
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    client.publish("nowhere", b"2")
    assert acked(client) == [(2, False)]


@pytest.mark.usefixtures("confirms")
def test_a_return_comes_before_its_confirm(client: MemoryClient) -> None:
    publish = commands.Basic.Publish(routing_key="nowhere", mandatory=True)
    client.send(command_frame(publish, 1) + content_frames(1, b"x", bytes(2)))
    assert client.read_message(commands.Basic.Return).body == b"x"
    assert acked(client) == [(1, False)]


@pytest.mark.usefixtures("confirms")
def test_nothing_is_confirmed_on_a_channel_that_failed(client: MemoryClient) -> None:
    frames = command_frame(commands.Basic.Publish(routing_key="q"), 1)
    get = command_frame(commands.Basic.Get(queue="nowhere"), 1)
    client.send(frames + content_frames(1, b"x", bytes(2)) + get)
    assert client.read(commands.Channel.Close).reply_code == 404
    client.send_command(commands.Channel.CloseOk())
    client.open_channel()
    assert client.is_silent


def test_what_waits_for_a_commit_is_confirmed_by_it(
    client: MemoryClient, confirms: Confirms
) -> None:
    confirms.publish(2, 7)
    confirms.publish(1, 7)
    confirms.publish(1, 8)
    assert acked(client) == []
    confirms.committed(7)
    assert acked(client) == [(3, True)]
    confirms.committed(8)
    assert acked(client) == [(4, False)]


def test_what_need_not_wait_does_not_overtake_what_must(
    client: MemoryClient, confirms: Confirms
) -> None:
    confirms.publish(1)
    confirms.publish(1, 7)
    confirms.publish(1)
    assert acked(client) == [(1, False)]
    confirms.committed(9)
    assert acked(client) == [(3, True)]


def settled(client: MemoryClient) -> list[tuple[str, int, bool]]:
    """Return name, tag and multiple of all acks and nacks that have come."""
    client.broker.flush()
    got = []
    while not client.is_silent:
        command: Any = client.read_frame().command
        got.append((command.name, command["delivery_tag"], command["multiple"]))
    return got


def test_what_was_refused_is_nacked_in_its_turn(client: MemoryClient, confirms: Confirms) -> None:
    confirms.publish(3)
    confirms.publish(3, 0, 2)
    confirms.publish(1)
    confirms.publish(1, 0, 1)
    assert settled(client) == [
        ("Basic.Ack", 4, True),
        ("Basic.Nack", 6, True),
        ("Basic.Ack", 7, False),
        ("Basic.Nack", 8, False),
    ]


def test_a_nack_waits_for_what_came_before(client: MemoryClient, confirms: Confirms) -> None:
    confirms.publish(1, 7)
    confirms.publish(1, 0, 1)
    confirms.publish(2, 8, 1)
    assert settled(client) == []
    confirms.committed(7)
    assert settled(client) == [("Basic.Ack", 1, False), ("Basic.Nack", 2, False)]
    confirms.committed(8)
    assert settled(client) == [("Basic.Ack", 3, False), ("Basic.Nack", 4, False)]


def test_nothing_is_nacked_after_the_end(client: MemoryClient, confirms: Confirms) -> None:
    confirms.publish(1, 0, 1)
    confirms.close()
    assert settled(client) == []


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4), st.integers(0, 3))))
def test_every_publish_is_settled_once_and_rightly(
    publishes: list[tuple[int, int, int]],
) -> None:
    # A model of the client: multiple means everything outstanding up to the tag (T10).
    client = connect(make_broker())
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    confirms = client.channel().confirms
    assert confirms is not None
    expected: list[str] = []
    outstanding: list[int] = []
    outcomes: dict[int, str] = {}
    for count, refused, commits in publishes:
        refused = min(refused, count)
        confirms.publish(count, len(expected) + 1 if commits else 0, refused)
        expected += ["Basic.Ack"] * (count - refused) + ["Basic.Nack"] * refused
        outstanding = [tag for tag in range(1, len(expected) + 1) if tag not in outcomes]
        if commits == 1:
            confirms.committed(len(expected))
        for name, tag, multiple in settled(client):
            assert tag in outstanding
            for done in [t for t in outstanding if t <= tag] if multiple else [tag]:
                outcomes[done] = name
                outstanding.remove(done)
    confirms.committed(1 << 60)
    for name, tag, multiple in settled(client):
        assert tag in outstanding
        for done in [t for t in outstanding if t <= tag] if multiple else [tag]:
            outcomes[done] = name
            outstanding.remove(done)
    assert outcomes == dict(enumerate(expected, 1))


def test_a_commit_after_the_end_confirms_nothing(client: MemoryClient, confirms: Confirms) -> None:
    confirms.publish(1)
    confirms.publish(1, 7)
    confirms.close()
    confirms.committed(7)
    assert acked(client) == []
