"""The x-message-deduplication exchange: a fanout for messages that come once (FEATURES A12.12).

As with RabbitMQ's plugin it must be told how many keys it is to remember. That it lets no message
through twice is not routing: it has the arguments of ``routing.deduplication`` built in.
"""

from __future__ import annotations

from typing import Final

from amqpbroker.errors import precondition_failed
from amqpbroker.routing.deduplication import CACHE_SIZE, check_size_and_ttl
from amqpbroker.routing.types.fanout_exchange import FanoutExchange

_WRONG: Final = "Missing or invalid argument"


class DeduplicationExchange(FanoutExchange):
    """Leads every message to all destinations, the first time that it comes."""

    __slots__ = ()

    type_name = "x-message-deduplication"

    def _check_arguments(self, where: str) -> None:
        if CACHE_SIZE not in self.arguments:
            raise precondition_failed(f"{_WRONG}, '{CACHE_SIZE}' must be an integer greater than 0")
        check_size_and_ttl(self.arguments, _WRONG)
