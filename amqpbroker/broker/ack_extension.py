"""More time for a delivery, asked for by a publish (FEATURES N4).

AMQP has no method for it, but every client can publish: to the default exchange with the routing
key ``amq.ack-extend``, on the channel that holds the delivery. Nothing is routed then.

::

    x-delivery-tag   which delivery; 0 (as in basic.ack with multiple) or none means all
    x-ack-extend     milliseconds from now; none means as long as the deadline was at first

If there is no such delivery any more and the publish is mandatory, it is returned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from amqpbroker.broker.arguments import EXPIRY_MS_MAX, INTEGERS
from amqpbroker.broker.router import Route
from amqpbroker.errors import precondition_failed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpbroker.broker.channel import Channel
    from amqpbroker.wire.content import Publication

ROUTING_KEY: Final = "amq.ack-extend"
"""No queue can have this name."""
TAG_MAX: Final = (1 << 63) - 1


class ExtensionRoute(Route):
    """Leads nowhere: what is published asks for more time."""

    __slots__ = ("_duration_ms", "_tag")

    def __init__(self, publication: Publication) -> None:
        """Read the headers.

        Raises :class:`~amqpbroker.errors.SoftError` 406 if they are no numbers.
        """
        super().__init__(publication, ())
        self._tag = number_in(publication.headers, "x-delivery-tag", TAG_MAX, ROUTING_KEY) or 0
        self._duration_ms = number_in(
            publication.headers, "x-ack-extend", EXPIRY_MS_MAX, ROUTING_KEY
        )

    def publish(self, channel: Channel | None, bodies: list[bytes]) -> tuple[int, int]:
        """Give the deliveries of ``channel`` more time."""
        assert channel is not None
        deadlines = channel.deadlines
        is_known = deadlines is not None and deadlines.extend(self._tag, self._duration_ms)
        if not is_known and self.publication.mandatory:
            channel.session.return_unroutable(channel, self.publication, bodies)
        return 0, 0


def asks_for_time(publication: Publication) -> bool:
    """Return whether a publication is no message but asks for more time."""
    return publication.routing_key == ROUTING_KEY and not publication.exchange


def number_in(
    headers: Mapping[str, tuple[str, Any]], name: str, maximum: int, routing_key: str
) -> int | None:
    """Return a header of a publish to one of the broker's own keys, None if it is not there.

    Raises :class:`~amqpbroker.errors.SoftError` 406 if it is no number up to ``maximum``.
    """
    field = headers.get(name)
    if field is None:
        return None
    kind, value = field
    if kind not in INTEGERS or not 0 <= value <= maximum:
        raise precondition_failed(f"invalid header '{name}' for '{routing_key}'")
    return int(value)
