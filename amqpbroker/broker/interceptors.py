"""What the broker adds to incoming messages, if it is told to (FEATURES A5.17, A5.18).

RabbitMQ's message interceptors: the time of arrival (property ``timestamp`` in seconds, header
``timestamp_in_ms``) and the node that took the message (header ``x-routed-by``). Each keeps what
the publisher set, or overwrites it.
https://www.rabbitmq.com/docs/3.13/configure#config-items (message_interceptors)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from amqpbroker.wire.table import Field

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpbroker.config import Config
    from amqpbroker.wire.content import Publication

TIMESTAMP_HEADER: Final = "timestamp_in_ms"
NODE_HEADER: Final = "x-routed-by"


class Interceptors:
    """The interceptors of one broker."""

    def __init__(self, config: Config, now_ms: Callable[[], int]) -> None:
        self._timestamp = config.set_header_timestamp
        self._node = config.set_header_routing_node
        self._node_name = config.cluster_name.encode()
        self._now_ms = now_ms
        self.is_active = self._timestamp != "off" or self._node != "off"
        """Whether anything is added; then messages differ, and no route is remembered with them."""

    def apply(self, publication: Publication) -> Publication:
        """Return the publication with what is to be added."""
        headers = dict(publication.headers)
        changes: dict[str, Any] = {}
        if self._timestamp != "off":
            now_ms = self._now_ms()
            if self._timestamp == "overwrite" or "timestamp" not in publication.properties:
                changes["timestamp"] = now_ms // 1000
            if self._timestamp == "overwrite" or TIMESTAMP_HEADER not in headers:
                headers[TIMESTAMP_HEADER] = Field("l", now_ms)
        if self._node == "overwrite" or (self._node == "keep" and NODE_HEADER not in headers):
            headers[NODE_HEADER] = Field("S", self._node_name)
        return publication.changed(headers=headers, **changes)
