"""Channels that never settle are closed (FEATURES A6.16).

Nothing is written down per delivery: now and then the last tag of a channel is noted with the time,
and a delivery that is no younger than a note that has become too old has been out for too long. So
a timeout is late by up to the time between two looks, a minute at most, as on RabbitMQ. Deliveries
with a deadline of their own (see ``ack_deadlines``) are none of its business.
https://www.rabbitmq.com/docs/3.13/consumers#acknowledgement-timeout
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpbroker.errors import precondition_failed

if TYPE_CHECKING:
    from collections.abc import Collection

    from amqpbroker.broker.channel import Channel
    from amqpbroker.broker.session import Session
    from amqpbroker.broker.timers import Timers
    from amqpbroker.errors import SoftError

INTERVAL_S_MAX: Final = 60.0
LOOKS_PER_TIMEOUT: Final = 4


class ConsumerTimeouts:
    """Looks at the channels of a broker from time to time."""

    def __init__(self, timeout_s: float, sessions: Collection[Session], timers: Timers) -> None:
        """Be ready to look at ``sessions``."""
        self._timeout_s = timeout_s
        self._interval_s = min(INTERVAL_S_MAX, timeout_s / LOOKS_PER_TIMEOUT)
        self._sessions = sessions
        self._timers = timers

    def start(self) -> None:
        """Look from now on, if there is a timeout."""
        if self._timeout_s:
            self._timers.call_later(self._interval_s, self._look_again)

    def _look_again(self) -> None:
        self.look(self._timers.now())
        self.start()

    def look(self, now: float) -> None:
        """Close the channels that have left a delivery unsettled for too long."""
        for session in list(self._sessions):
            for channel in list(session.channels.values()):
                if self._is_late(channel, now):
                    error = timed_out(channel.number, round(self._timeout_s * 1000))
                    session.fail_channel(channel.number, error)

    def _is_late(self, channel: Channel, now: float) -> bool:
        notes = channel.tag_notes
        too_old = -1
        while notes and notes[0][0] <= now - self._timeout_s:
            too_old = notes.popleft()[1]
        notes.append((now, channel.last_tag))
        for tag in channel.unsettled:
            if tag > too_old:
                return False
            if channel.deadlines is None or tag not in channel.deadlines:
                return True
        return False


def timed_out(number: int, timeout_ms: int) -> SoftError:
    """Return the error that closes a channel, worded as RabbitMQ does."""
    return precondition_failed(
        f"delivery acknowledgement on channel {number} timed out. "
        f"Timeout value used: {timeout_ms} ms. This timeout "
        "value can be configured, see consumers doc guide to learn more"
    )
