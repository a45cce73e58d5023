"""Deliveries of streams, read back by another implementation (FEATURES A11.6, T1, T5)."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp import frame, header
from pamqp.commands import Basic

from amqpbroker.wire.properties import decode_properties, encode_properties
from amqpbroker.wire.stream_deliver import StreamEncoder, around_offset
from amqpbroker.wire.table import Field

FRAME_SIZE_MAX = 4096


def with_offset(properties: dict[str, Any], offset: int) -> dict[str, Any]:
    before, after = around_offset(encode_properties(properties))
    return decode_properties(before + offset.to_bytes(8, "big") + after)


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"content_type": "text/plain", "content_encoding": "gzip", "app_id": "a"},
        {"delivery_mode": 2, "headers": {"a": Field("I", 1), "z": Field("S", b"s")}},
        {"headers": {}, "timestamp": 12},
    ],
)
def test_one_header_is_added_and_the_rest_is_kept(properties: dict[str, Any]) -> None:
    expected = {**properties, "headers": {**properties.get("headers", {})}}
    expected["headers"]["x-stream-offset"] = Field("l", 7)
    assert with_offset(properties, 7) == expected


def test_the_publishers_header_of_that_name_is_replaced() -> None:
    headers = {"x-stream-offset": Field("S", b"mine"), "b": Field("S", b"\x0fx-stream-offset")}
    found = with_offset({"headers": headers}, 1)["headers"]
    assert found == {"b": headers["b"], "x-stream-offset": Field("l", 1)}


@pytest.mark.parametrize("size", [0, 5, FRAME_SIZE_MAX - 8, FRAME_SIZE_MAX - 7, 10_000])
def test_frames_say_what_was_published(size: int) -> None:
    encoder = StreamEncoder(3, "tag", FRAME_SIZE_MAX)
    raw = encode_properties({"message_id": "i", "headers": {"h": Field("t", True)}})
    out: list[bytes] = []
    bodies = [b"a" * size, b"b" * size]
    expected_size = encoder.prepare(b"ex", b"key", raw, size)
    encoder.deliver_run(out, 8, 41, bodies)
    data = b"".join(out)
    if 0 < size <= FRAME_SIZE_MAX - 8:
        assert len(data) == 2 * expected_size
    for tag, offset, body in ((8, 41, bodies[0]), (9, 42, bodies[1])):
        found = b""
        consumed, channel, method = frame.unmarshal(data)
        assert isinstance(method, Basic.Deliver)
        assert (channel, method.delivery_tag, method.redelivered) == (3, tag, False)
        assert (method.consumer_tag, method.exchange, method.routing_key) == ("tag", "ex", "key")
        data = data[consumed:]
        consumed, _, content = frame.unmarshal(data)
        assert isinstance(content, header.ContentHeader)
        assert content.properties.headers == {"h": True, "x-stream-offset": offset}
        assert content.properties.message_id == "i"
        assert content.body_size == size
        data = data[consumed:]
        while len(found) < size:
            consumed, _, piece = frame.unmarshal(data)
            found += piece.value  # type: ignore[union-attr]
            data = data[consumed:]
        assert found == body
    assert data == b""
