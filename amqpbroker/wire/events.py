"""What a client asked for. The set is closed: these and the methods of ``methods.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from amqpbroker.errors import SoftError
from amqpbroker.wire.codec import Method

if TYPE_CHECKING:
    from amqpbroker.wire.content import Publication


class ProtocolHeader:
    """The client opened with an AMQP 0-9-1 protocol header: answer with connection.start."""

    __slots__ = ()


class Publish:
    """One or more basic.publish in a row whose method and header frames were byte-identical."""

    __slots__ = ("bodies", "publication")

    def __init__(self, publication: Publication, bodies: list[bytes]) -> None:
        self.publication = publication
        self.bodies = bodies


class Acks:
    """Basic.ack of single deliveries, one or more in a row on a channel."""

    __slots__ = ("delivery_tags",)

    def __init__(self, delivery_tags: list[int]) -> None:
        self.delivery_tags = delivery_tags


Event: TypeAlias = ProtocolHeader | Publish | Acks | Method | SoftError
"""A SoftError is an error that the wire found and that concerns one channel."""
