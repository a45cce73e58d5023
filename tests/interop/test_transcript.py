"""What is legitimately free is normalised, and nothing else."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from interop.differential import codec
from interop.differential.channel import Channel
from interop.differential.client import Endpoint, Received
from interop.differential.session import Peer, Session
from interop.differential.transcript import Renderer, render_properties


class Bench:
    """A session whose one peer has no socket."""

    def __init__(self) -> None:
        self.session = Session(Endpoint("", 0, vhost="v1"), "d1.")
        peer = SimpleNamespace(
            received=[], wire=SimpleNamespace(is_open=True), channel=lambda _: Channel()
        )
        self.peer = cast("Peer", peer)
        self.session.peers[0] = self.peer
        self.renderer = Renderer(self.session)

    def lines(self, *received: Received) -> list[str]:
        self.peer.received.extend((1, each) for each in received)
        return self.renderer.step_lines({})


@pytest.fixture
def bench() -> Bench:
    return Bench()


def deliver(consumer_tag: str, delivery_tag: int, body: bytes = b"") -> Received:
    args: dict[str, Any] = {"consumer_tag": consumer_tag, "delivery_tag": delivery_tag}
    return Received("basic.deliver", args, codec.encode_properties([]), body)


def test_names_made_by_the_broker_are_numbered(bench: Bench) -> None:
    name = "amq.gen-" + "x" * 22
    assert bench.lines(Received("queue.declare-ok", {"queue": name})) == [
        "c0.1 queue.declare-ok queue='$queue0'"
    ]


def test_a_made_up_name_of_another_shape_is_kept(bench: Bench) -> None:
    assert (
        "amq.gen-short" in bench.lines(Received("queue.declare-ok", {"queue": "amq.gen-short"}))[0]
    )


def test_prefix_and_vhost_are_replaced(bench: Bench) -> None:
    text = "NOT_FOUND - no queue 'd1.q0' in vhost 'v1'"
    (line,) = bench.lines(Received("channel.close", {"reply_text": text}))
    assert "no queue '~q0' in vhost '$vhost'" in line


def test_the_order_of_two_consumers_does_not_count(bench: Bench) -> None:
    one = bench.lines(deliver("a", 1, b"x"), deliver("b", 2, b"y"))
    two = bench.lines(deliver("b", 1, b"y"), deliver("a", 2, b"x"))
    assert one == two


def test_the_order_of_one_consumer_counts(bench: Bench) -> None:
    one = bench.lines(deliver("a", 1, b"x"), deliver("a", 2, b"y"))
    two = bench.lines(deliver("a", 1, b"y"), deliver("a", 2, b"x"))
    assert one != two


def test_a_delivery_before_its_consume_ok_shows(bench: Bench) -> None:
    consume_ok = Received("basic.consume-ok", {"consumer_tag": "a"})
    assert bench.lines(consume_ok, deliver("a", 1)) != bench.lines(deliver("a", 1), consume_ok)


def test_only_the_brokers_clock_is_hidden() -> None:
    now = [("headers", [("a", "T", int(time.time()))])]
    past = [("headers", [("a", "T", 1_000_000_000)])]
    assert "T:now" in render_properties(codec.encode_properties(now))
    assert "T:1000000000" in render_properties(codec.encode_properties(past))


def test_properties_that_do_not_decode_are_shown_as_bytes() -> None:
    assert "8000ff" in render_properties(bytes.fromhex("8000ff"))


def test_a_tag_that_depends_on_a_race_is_hidden_in_the_reply_text(bench: Bench) -> None:
    text = "PRECONDITION_FAILED - unknown delivery tag 2"
    close = Received("channel.close", {"reply_text": text}, is_interleaved=True)
    assert "unknown delivery tag *" in bench.lines(close)[0]
