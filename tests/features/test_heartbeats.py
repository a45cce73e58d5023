"""Heartbeats with an interval of one second (FEATURES A1.11, T14)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pamqp import commands

from tests.amqp_bytes import HEARTBEAT, Frame, raw_frame

if TYPE_CHECKING:
    from tests.features.conftest import Connect
    from tests.raw_client import RawClient

BEAT = raw_frame(HEARTBEAT, 0, b"")


def open_with_heartbeat(dial: Connect) -> RawClient:
    client = dial()
    client.login()
    client.tune_ok(heartbeat=1)
    client.open()
    return client


def test_an_idle_broker_sends_them_and_a_beating_client_lives(dial: Connect) -> None:
    client = open_with_heartbeat(dial)
    start = time.monotonic()
    for _ in range(4):
        assert client.receive_frame() == Frame(HEARTBEAT, 0, b"")
        client.send(BEAT)
    assert time.monotonic() - start < 6
    client.open_channel()


def test_a_silent_client_is_cut_off(dial: Connect) -> None:
    # Two intervals without a byte; the broker does not say farewell to the dead.
    client = open_with_heartbeat(dial)
    start = time.monotonic()
    beats = client.receive_to_end()
    assert 1 < time.monotonic() - start < 6
    assert beats == BEAT * (len(beats) // len(BEAT))


def test_any_traffic_counts_as_life(dial: Connect) -> None:
    client = open_with_heartbeat(dial)
    client.open_channel()
    end = time.monotonic() + 3
    while time.monotonic() < end:
        assert client.receive_frame().kind == HEARTBEAT
        client.send_command(commands.Basic.Qos(prefetch_count=1))
        client.read(commands.Basic.QosOk)


def test_without_a_heartbeat_nothing_is_sent(dial: Connect) -> None:
    client = dial()
    client.login()
    client.tune_ok(heartbeat=0)
    client.open()
    other = open_with_heartbeat(dial)
    for _ in range(2):
        other.receive_frame()
    client.open_channel()
    assert client.call(commands.Channel.Flow(True), commands.Channel.FlowOk).active
