"""When the next read waits for more to come, and when it must not."""

from __future__ import annotations

import pytest

from amqpbroker.gathering import (
    FULL_COUNT_MAX,
    FULL_SHARE,
    GAP_MAX_S,
    GATHERED_COUNT,
    INTERVAL_MAX_S,
    LOOK_COUNT,
    MESSAGES_MAX,
    MESSAGES_MIN,
    PAUSE_S,
    REST_MAX_S,
    REST_MIN_S,
    Gathering,
)

SILENT = -1.0
"""Nothing was ever sent to the client."""


class Client:
    """Publishes; each read brings what came since the one before, at least one message."""

    def __init__(self, rate: float, *, window: int = 1 << 30, interval_s: float = 60e-6) -> None:
        """``rate`` is in messages a second, of which ``window`` wait for somebody's answer."""
        self.gathering = Gathering()
        self.now = 1.0
        self.rate = rate
        self.window = window
        self.interval_s = interval_s
        self.written_at = SILENT
        self.share = 0.1
        self.gathering.pause_s(1, 0.1, self.now, self.now)  # the handshake was written
        self.pauses: list[float] = []

    def read(self) -> float:
        """Have the broker read once, and come back for more."""
        pause_s = self.pauses[-1] if self.pauses else 0.0
        gap_s = self.interval_s + pause_s
        self.now += gap_s
        messages = max(1, min(self.window, int(gap_s * self.rate)))
        pause_s = self.gathering.pause_s(messages, self.share, self.now, self.written_at)
        self.pauses.append(pause_s)
        return self.pauses[-1]

    def run(self, count: int) -> int:
        """Read ``count`` times; return how many of the reads after it wait."""
        return sum(self.read() > 0 for _ in range(count))


def test_a_client_at_full_speed_is_read_once_in_a_while() -> None:
    client = Client(170_000)
    assert client.run(LOOK_COUNT - 1) == 0
    assert client.read() == PAUSE_S
    assert client.run(1000) == 1000


def test_a_full_read_of_large_messages_is_followed_at_once_by_the_next() -> None:
    client = Client(100_000)
    client.run(2 * LOOK_COUNT)
    assert client.pauses[-1] == PAUSE_S
    client.share = FULL_SHARE
    assert client.read() == 0
    client.share = 0.1
    assert client.read() == PAUSE_S


def test_a_full_read_of_many_messages_is_not() -> None:
    client = Client(2 * FULL_COUNT_MAX / PAUSE_S, interval_s=20e-6)
    assert client.run(LOOK_COUNT) == 1
    client.share = 1.0
    assert client.run(100) == 100


@pytest.mark.parametrize(
    ("rate", "interval_s"),
    [
        pytest.param(10_000, 60e-6, id="a message in a read"),
        pytest.param((MESSAGES_MIN - 1) / 60e-6, 60e-6, id="few messages in a read"),
        pytest.param((MESSAGES_MAX + 2) / 60e-6, 60e-6, id="many messages in a read"),
        pytest.param(100_000, 1.5 * INTERVAL_MAX_S, id="long reads"),
    ],
)
def test_others_are_read_at_once(rate: float, interval_s: float) -> None:
    assert Client(rate, interval_s=interval_s).run(10 * LOOK_COUNT) == 0


def test_a_client_that_gets_something_is_read_at_once() -> None:
    client = Client(170_000)
    for _ in range(10 * LOOK_COUNT):
        client.written_at = client.now
        assert client.read() == 0
    client.written_at = SILENT
    assert client.run(10 * LOOK_COUNT) > 0
    client.written_at = client.now
    assert client.run(LOOK_COUNT) == 0


def test_a_client_that_waits_for_somebody_else_is_left_alone_longer_and_longer() -> None:
    client = Client(170_000, window=int(170_000 * 60e-6))
    assert client.run(LOOK_COUNT + GATHERED_COUNT) == GATHERED_COUNT
    rests = []
    for _ in range(12):
        began_at = client.now
        while not client.read():
            pass
        rests.append(client.now - began_at)
        while client.pauses[-1]:
            client.read()
    assert rests[0] == pytest.approx(REST_MIN_S, abs=0.1)
    assert rests[1] == pytest.approx(2 * REST_MIN_S, abs=0.1)
    assert rests[-2:] == pytest.approx([REST_MAX_S, REST_MAX_S], abs=0.1)


def test_success_makes_the_next_rest_short_again() -> None:
    client = Client(170_000, window=10)
    for _ in range(4):
        while not client.read():
            pass
        while client.pauses[-1]:
            client.read()
    client.window = 1 << 30
    while not client.read():
        pass
    client.run(GATHERED_COUNT)
    client.window = 10
    while client.read():
        pass
    began_at = client.now
    while not client.read():
        pass
    assert client.now - began_at == pytest.approx(REST_MIN_S, abs=0.1)


def test_after_a_gap_the_client_is_looked_at_anew() -> None:
    client = Client(170_000)
    client.run(2 * LOOK_COUNT)
    assert client.pauses[-1] == PAUSE_S
    client.now += GAP_MAX_S
    assert client.read() == 0
    assert client.run(LOOK_COUNT - 1) == 0
    assert client.run(LOOK_COUNT) > 0
