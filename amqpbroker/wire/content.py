"""What a publish said besides its body, and the frames that hand it on.

A :class:`Publication` is the method and content header of one or many publishes: messages whose
frames are byte-identical share it, so everything that depends on it alone (decoding, the route, the
bytes of a delivery) is worked out once. A body is plain ``bytes``.

Outgoing content is written from cached pieces (STYLE 3.5)::

    head                                          tag    tail                            body  CE
    method frame up to the delivery tag           8 B    redelivered, exchange, key, CE,
                                                         header frame, body frame's head
"""

from __future__ import annotations

import struct
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Final

from amqpbroker.errors import precondition_failed
from amqpbroker.wire.codec import encode_method
from amqpbroker.wire.constants import CLASS_BASIC, DELIVERY_MODE_PERSISTENT, FRAME_OVERHEAD_SIZE
from amqpbroker.wire.properties import (
    decode_properties,
    encode_properties,
    has_property,
    raw_delivery_mode,
    raw_headers,
)
from amqpbroker.wire.table import KIND_NAMES, edit_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from amqpbroker.wire.methods import BasicGetOk, BasicReturn

_FRAME: Final = struct.Struct(">BHI")
_CONTENT: Final = struct.Struct(">HHQ")
_HEADER_FRAME: Final = struct.Struct(">BHIHHQ")
_DELIVER: Final = struct.Struct(">BHIHHB")
_TAG: Final = struct.Struct(">Q")
_END: Final = b"\xce"
_NO_HEADERS: Final[Mapping[str, tuple[str, Any]]] = {}


def keys_in(headers: Mapping[str, tuple[str, Any]], name: str) -> list[str]:
    """Return the extra routing keys in header ``name`` (CC, BCC; FEATURES A5.10).

    Raises :class:`~amqpbroker.errors.SoftError` 406 where such a header is no array.
    """
    if name not in headers:
        return []
    kind, value = headers[name]
    if kind != "A":
        detail = f'{{unacceptable_type_in_header,"{name}",{KIND_NAMES[kind]}}}'
        raise precondition_failed(f"invalid message: {detail}")
    return [item.decode("utf-8", "surrogateescape") for kind, item in value if kind == "S"]


class Publication:
    """Exchange, routing key, flags and properties of a publish; shared, and never changed."""

    __slots__ = (
        "_properties",
        "body_size",
        "exchange",
        "immediate",
        "is_persistent",
        "mandatory",
        "raw_properties",
        "routing_key",
    )

    def __init__(
        self,
        exchange: str,
        routing_key: str,
        *,
        mandatory: bool = False,
        immediate: bool = False,
        raw_properties: bytes,
        properties: dict[str, Any] | None = None,
        body_size: int,
    ) -> None:
        """Make one of bytes that are well formed; ``properties`` if they are decoded already."""
        self.exchange = exchange
        self.routing_key = routing_key
        self.mandatory = mandatory
        self.immediate = immediate
        self.raw_properties = raw_properties
        self._properties = properties
        self.body_size = body_size
        if properties is None:
            delivery_mode = raw_delivery_mode(raw_properties)
        else:
            delivery_mode = properties.get("delivery_mode")
        self.is_persistent = delivery_mode == DELIVERY_MODE_PERSISTENT

    @classmethod
    def of(
        cls, exchange: str, routing_key: str, properties: dict[str, Any], body_size: int
    ) -> Publication:
        """Make one of decoded properties: for messages that the broker writes itself."""
        raw = encode_properties(properties)
        return cls(
            exchange,
            routing_key,
            raw_properties=raw,
            properties=decode_properties(raw),
            body_size=body_size,
        )

    @property
    def properties(self) -> dict[str, Any]:
        """The properties that are present, decoded when somebody asks."""
        properties = self._properties
        if properties is None:
            properties = self._properties = decode_properties(self.raw_properties)
        return properties

    def forget_properties(self) -> None:
        """Keep their bytes only: while many messages wait, few are looked at."""
        self._properties = None

    def has(self, name: str) -> bool:
        """Return whether the property ``name`` is present."""
        return has_property(self.raw_properties, name)

    @property
    def headers(self) -> Mapping[str, tuple[str, Any]]:
        """The headers table, empty if there is none."""
        headers: Mapping[str, tuple[str, Any]] = self.properties.get("headers", _NO_HEADERS)
        return headers

    @property
    def extra_keys(self) -> Sequence[str]:
        """Routing keys from the CC and BCC headers.

        Raises :class:`~amqpbroker.errors.SoftError` 406 where such a header is no array.
        """
        headers = self.headers
        return keys_in(headers, "CC") + keys_in(headers, "BCC") if headers else ()

    def property(self, name: str) -> object | None:
        """Return the property ``name``, None if absent."""
        return self.properties.get(name)

    def changed(self, **properties: Any) -> Publication:
        """Return a copy with some properties set, or removed where the value is None.

        Headers that stay the same keep their bytes (T1).
        """
        merged = {name: v for name, v in {**self.properties, **properties}.items() if v is not None}
        encoded = dict(merged)
        if "headers" in self.properties and "headers" in merged:
            old, new = self.headers, merged["headers"]
            changed = {name for name in old if name not in new or new[name] != old[name]}
            added = {name: field for name, field in new.items() if old.get(name) != field}
            raw = raw_headers(self.raw_properties)
            encoded["headers"] = edit_table(raw, changed, added) if changed or added else raw
        return Publication(
            self.exchange,
            self.routing_key,
            mandatory=self.mandatory,
            immediate=self.immediate,
            raw_properties=encode_properties(encoded),
            properties=merged,
            body_size=self.body_size,
        )

    def moved(self, exchange: str, routing_key: str) -> Publication:
        """Return a copy that was published elsewhere, without the flags of the publish."""
        return Publication(
            exchange,
            routing_key,
            raw_properties=self.raw_properties,
            properties=self._properties,
            body_size=self.body_size,
        )


def body_frames(number: int, body: bytes, frame_size_max: int) -> bytes:
    """Return the body frames of ``body``; none for an empty body (T13)."""
    chunk = frame_size_max - FRAME_OVERHEAD_SIZE
    if not body:
        return b""
    if len(body) <= chunk:
        return b"%b%b\xce" % (_FRAME.pack(3, number, len(body)), body)
    pieces = (body[start : start + chunk] for start in range(0, len(body), chunk))
    return b"".join(b"%b%b\xce" % (_FRAME.pack(3, number, len(piece)), piece) for piece in pieces)


def header_frame(number: int, publication: Publication) -> bytes:
    """Return the content header frame, its properties as the publisher wrote them."""
    raw = publication.raw_properties
    return b"%b%b%b\xce" % (
        _FRAME.pack(2, number, 12 + len(raw)),
        _CONTENT.pack(CLASS_BASIC, 0, publication.body_size),
        raw,
    )


def content(
    number: int,
    method: BasicReturn | BasicGetOk,
    publication: Publication,
    body: bytes,
    frame_size_max: int,
) -> bytes:
    """Return all frames of a method that carries content: the seldom ones."""
    return b"%b%b%b" % (
        encode_method(number, method),
        header_frame(number, publication),
        body_frames(number, body, frame_size_max),
    )


class DeliverEncoder:
    """Writes basic.deliver and its content for one consumer."""

    __slots__ = (
        "_exchange",
        "_frame_size_max",
        "_fresh",
        "_head",
        "_names",
        "_number",
        "_publication",
        "_routing_key",
        "_tag",
    )

    def __init__(self, number: int, consumer_tag: str, frame_size_max: int) -> None:
        self._number = number
        tag = consumer_tag.encode("utf-8", "surrogateescape")
        self._tag = bytes((len(tag),)) + tag
        self._frame_size_max = frame_size_max
        self._publication: Publication | None = None
        self._exchange: str | None = None
        self._routing_key = ""
        self._head = self._names = self._fresh = b""

    def size(self, publication: Publication) -> int:
        """Return the bytes that one delivery takes, its body included (in a single frame)."""
        if publication is not self._publication:
            self._prepare(publication)
        return len(self._head) + 8 + len(self._fresh) + publication.body_size + 1

    def deliver(
        self, delivery_tag: int, redelivered: bool, publication: Publication, body: bytes
    ) -> bytes:
        """Return the frames of one delivery."""
        if publication is not self._publication:
            self._prepare(publication)
        tail = b"\x01" + self._fresh[1:] if redelivered else self._fresh
        size = publication.body_size
        if 0 < size <= self._frame_size_max - FRAME_OVERHEAD_SIZE:
            return b"%b%b%b%b\xce" % (self._head, _TAG.pack(delivery_tag), tail, body)
        frames = body_frames(self._number, body, self._frame_size_max)
        return b"%b%b%b%b" % (self._head, _TAG.pack(delivery_tag), tail, frames)

    def deliver_run(
        self,
        out: list[bytes],
        first_tag: int,
        publication: Publication,
        bodies: Sequence[bytes],
        redelivered: bool = False,
    ) -> None:
        """Append deliveries of messages that share ``publication``; tags count up.

        One pass through C iterators: no bytecode is run per message.
        """
        size = publication.body_size
        if not 0 < size <= self._frame_size_max - FRAME_OVERHEAD_SIZE:
            tags = range(first_tag, first_tag + len(bodies))
            out += [
                self.deliver(tag, redelivered, publication, body)
                for tag, body in zip(tags, bodies, strict=True)
            ]
            return
        if publication is not self._publication:
            self._prepare(publication)
        tail = b"\x01" + self._fresh[1:] if redelivered else self._fresh
        if len(bodies) == 1:
            out.append(b"%b%b%b%b\xce" % (self._head, _TAG.pack(first_tag), tail, bodies[0]))
            return
        tags = range(first_tag, first_tag + len(bodies))
        pieces = zip(repeat(self._head), map(_TAG.pack, tags), repeat(tail), bodies, repeat(_END))
        out.extend(chain.from_iterable(pieces))

    def _prepare(self, publication: Publication) -> None:
        if publication.exchange != self._exchange or publication.routing_key != self._routing_key:
            self._name(publication.exchange, publication.routing_key)
        raw = publication.raw_properties
        body_size = publication.body_size
        header = _HEADER_FRAME.pack(2, self._number, 12 + len(raw), CLASS_BASIC, 0, body_size)
        body = b""
        if 0 < body_size <= self._frame_size_max - FRAME_OVERHEAD_SIZE:
            body = _FRAME.pack(3, self._number, body_size)
        self._fresh = b"%b%b%b\xce%b" % (self._names, header, raw, body)
        self._publication = publication

    def _name(self, exchange: str, routing_key: str) -> None:
        """Encode what deliveries of one exchange and routing key have in common."""
        self._exchange = exchange
        self._routing_key = routing_key
        name = exchange.encode("utf-8", "surrogateescape")
        key = routing_key.encode("utf-8", "surrogateescape")
        size = 4 + len(self._tag) + 8 + 1 + 1 + len(name) + 1 + len(key)
        head = _DELIVER.pack(1, self._number, size, CLASS_BASIC, 60, self._tag[0])
        self._head = head + self._tag[1:]
        self._names = b"\x00%c%b%c%b\xce" % (len(name), name, len(key), key)
