"""Publications, and content frames as pamqp unmarshals them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import body as pamqp_body
from pamqp import commands, frame, header

from amqpbroker.errors import SoftError
from amqpbroker.wire.codec import encode_method
from amqpbroker.wire.content import (
    DeliverEncoder,
    Publication,
    body_frames,
    content,
    header_frame,
)
from amqpbroker.wire.methods import BasicDeliver, BasicGetOk, BasicReturn
from amqpbroker.wire.properties import decode_properties, encode_properties, raw_headers
from amqpbroker.wire.table import Field, encode_table
from tests.wire.strategies import as_name, names, properties, utf8_names

if TYPE_CHECKING:
    from collections.abc import Sequence

FRAME_SIZE_MAX = 4096
CHUNK = FRAME_SIZE_MAX - 8
SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 1]
CC = {"CC": Field("A", (Field("S", b"a"), Field("b", 1), Field("S", b"\xff")))}


def publication(body_size: int = 0, key: str = "key", **values: Any) -> Publication:
    """Return a publication to exchange ``logs``."""
    return Publication.of("logs", key, values, body_size)


def unmarshal(data: bytes) -> list[tuple[int, Any]]:
    """Return all frames of ``data`` as pamqp reads them, with their channels."""
    frames = []
    while data:
        size, channel, value = frame.unmarshal(data)
        frames.append((channel, value))
        data = data[size:]
    return frames


def read(data: bytes, number: int) -> list[tuple[Any, header.ContentHeader, bytes, list[int]]]:
    """Return (method, header, body, sizes of body frames) of every content in ``data``."""
    contents: list[tuple[Any, header.ContentHeader, bytes, list[int]]] = []
    for channel, value in unmarshal(data):
        assert channel == number
        if isinstance(value, header.ContentHeader):
            method, *_ = contents.pop()
            contents.append((method, value, b"", []))
        elif isinstance(value, pamqp_body.ContentBody):
            assert value.value, "an empty body has no frame"
            method, head, body, sizes = contents.pop()
            contents.append((method, head, body + value.value, [*sizes, len(value.value)]))
        else:
            contents.append((value, header.ContentHeader(), b"", []))
    return contents


def run(
    encoder: DeliverEncoder,
    tag: int,
    sent: Publication,
    bodies: Sequence[bytes],
    redelivered: bool = False,
) -> bytes:
    """Return what ``deliver_run`` writes."""
    out: list[bytes] = []
    encoder.deliver_run(out, tag, sent, bodies, redelivered)
    return b"".join(out)


# publications


def test_a_publication_is_persistent_with_delivery_mode_2_only() -> None:
    assert publication(delivery_mode=2).is_persistent
    assert not publication(delivery_mode=1).is_persistent
    assert not publication().is_persistent


def test_properties_are_decoded_again_after_they_were_forgotten() -> None:
    message = publication(delivery_mode=2, message_id="m")
    before = message.properties
    message.forget_properties()
    assert message.is_persistent
    assert message.has("message_id")
    assert not message.has("app_id")
    assert message.properties == before


def test_properties_are_read_by_name() -> None:
    assert publication(priority=3).property("priority") == 3
    assert publication().property("priority") is None
    assert publication().headers == {}
    assert publication(headers=CC).headers == CC


def test_extra_keys_are_the_strings_of_cc_and_then_bcc() -> None:
    headers = {"BCC": Field("A", (Field("S", b"z"),)), **CC}
    assert publication(headers=headers).extra_keys == ["a", as_name(b"\xff"), "z"]
    assert publication(headers={"other": Field("V", None)}).extra_keys == []
    assert publication().extra_keys == ()


@pytest.mark.parametrize(
    ("name", "field", "kind"), [("CC", ("S", b"a"), "longstr"), ("BCC", ("i", 1), "unsignedint")]
)
def test_extra_keys_that_are_no_array_are_refused(
    name: str, field: tuple[str, Any], kind: str
) -> None:
    with pytest.raises(SoftError) as caught:
        _ = publication(headers={name: field}).extra_keys
    text = f'invalid message: {{unacceptable_type_in_header,"{name}",{kind}}}'
    assert (caught.value.reply_code, caught.value.explanation) == (406, text)


def test_a_changed_copy_sets_and_removes_properties() -> None:
    sent = Publication(
        "logs",
        "key",
        mandatory=True,
        immediate=True,
        raw_properties=encode_properties({"type": "t", "priority": 1}),
        properties={"type": "t", "priority": 1},
        body_size=5,
    )
    copy = sent.changed(type=None, delivery_mode=2)
    assert copy.properties == {"priority": 1, "delivery_mode": 2}
    assert copy.raw_properties == encode_properties(copy.properties)
    assert (copy.exchange, copy.routing_key, copy.body_size) == ("logs", "key", 5)
    assert (copy.mandatory, copy.immediate, copy.is_persistent) == (True, True, True)
    assert sent.properties == {"type": "t", "priority": 1}


def test_a_change_of_headers_keeps_the_bytes_of_the_others() -> None:
    """T1: the field that is named twice is still named twice."""
    fields = [encode_table({name: ("b", n)})[4:] for n, name in enumerate(("a", "b", "a", "c"))]
    raw = encode_properties({"type": "t", "priority": 1, "headers": b"".join(fields)})
    decoded = decode_properties(raw)
    sent = Publication("logs", "key", raw_properties=raw, properties=decoded, body_size=5)
    headers = {name: field for name, field in sent.headers.items() if name != "b"}
    copy = sent.changed(headers=headers | {"c": Field("b", 9)}, type=None)
    expected = b"".join([fields[0], fields[2], encode_table({"c": ("b", 9)})[4:]])
    assert raw_headers(copy.raw_properties) == expected
    assert copy.properties == {"priority": 1, "headers": copy.headers}
    assert raw_headers(sent.changed(priority=2).raw_properties) == b"".join(fields)


def test_a_moved_copy_has_another_address_only() -> None:
    sent = publication(3, type="t")
    sent.mandatory = True
    copy = sent.moved("other", "place")
    assert (copy.exchange, copy.routing_key, copy.mandatory) == ("other", "place", False)
    assert (copy.raw_properties, copy.body_size) == (sent.raw_properties, 3)


@given(names(), names(), properties())
def test_a_publication_of_the_broker_reads_like_one_from_the_wire(
    exchange: str, key: str, values: dict[str, Any]
) -> None:
    sent = Publication.of(exchange, key, values, 3)
    assert sent.properties == values
    assert sent.raw_properties == encode_properties(values)


# frames


@pytest.mark.parametrize("size", SIZES)
def test_a_body_is_cut_into_frames_of_the_negotiated_size(size: int) -> None:
    body = bytes(i % 251 for i in range(size))
    frames = [value.value for _, value in unmarshal(body_frames(7, body, FRAME_SIZE_MAX))]
    assert b"".join(frames) == body
    assert len(frames) == -(-size // CHUNK)
    assert all(len(piece) == CHUNK for piece in frames[:-1])


def test_a_header_frame_keeps_the_publishers_bytes() -> None:
    raw = encode_properties({"headers": {"n": Field("l", 1), "d": Field("d", 0.1)}})
    sent = Publication("", "k", raw_properties=raw, properties={}, body_size=2**40)
    data = header_frame(9, sent)
    assert data[7 + 12 : -1] == raw
    [(channel, head)] = unmarshal(data)
    assert (channel, head.class_id, head.weight, head.body_size) == (9, 60, 0, 2**40)


@pytest.mark.parametrize("size", SIZES)
def test_content_of_get_ok_and_return_is_what_pamqp_reads(size: int) -> None:
    sent = publication(size, content_type="text/plain", priority=4)
    got = content(3, BasicGetOk(8, True, "logs", "key", 2), sent, bytes(size), FRAME_SIZE_MAX)
    returned = content(3, BasicReturn(312, "NO_ROUTE", "logs", "key"), sent, b"", FRAME_SIZE_MAX)
    [(method, head, body, _)] = read(got, 3)
    assert dict(method) == dict(commands.Basic.GetOk(8, True, "logs", "key", 2))
    assert (head.properties.content_type, head.properties.priority) == ("text/plain", 4)
    assert (head.body_size, body) == (size, bytes(size))
    [(method, _, _, _)] = read(returned, 3)
    assert dict(method) == dict(commands.Basic.Return(312, "NO_ROUTE", "logs", "key"))


# deliveries


@pytest.mark.parametrize("redelivered", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_a_delivery_is_what_pamqp_reads(size: int, redelivered: bool) -> None:
    sent, body = publication(size, message_id="m"), bytes(i % 251 for i in range(size))
    data = DeliverEncoder(5, "ctag", FRAME_SIZE_MAX).deliver(2**62, redelivered, sent, body)
    [(method, head, received, sizes)] = read(data, 5)
    expected = commands.Basic.Deliver("ctag", 2**62, redelivered, "logs", "key")
    assert (method.name, dict(method)) == (expected.name, dict(expected))
    assert (head.body_size, head.properties.message_id) == (size, "m")
    assert received == body
    assert all(piece <= CHUNK for piece in sizes)


@pytest.mark.parametrize("redelivered", [False, True])
@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("size", SIZES)
def test_a_run_is_one_delivery_after_the_other(size: int, count: int, redelivered: bool) -> None:
    sent = publication(size, priority=1)
    bodies = [bytes([i]) * size for i in range(count)]
    data = run(DeliverEncoder(5, "ctag", FRAME_SIZE_MAX), 10, sent, bodies, redelivered)
    encoder = DeliverEncoder(5, "ctag", FRAME_SIZE_MAX)
    assert data == b"".join(
        encoder.deliver(tag, redelivered, sent, body) for tag, body in enumerate(bodies, 10)
    )
    contents = read(data, 5)
    assert [method.delivery_tag for method, *_ in contents] == list(range(10, 10 + count))
    assert [body for _, _, body, _ in contents] == bodies
    assert {method.redelivered for method, *_ in contents} == {redelivered}


def test_a_run_of_nothing_writes_nothing() -> None:
    assert run(DeliverEncoder(1, "t", FRAME_SIZE_MAX), 1, publication(1), []) == b""


@pytest.mark.parametrize("size", [1, CHUNK])
def test_the_size_of_a_delivery_is_known_before_it_is_written(size: int) -> None:
    encoder, sent = DeliverEncoder(5, "ctag", FRAME_SIZE_MAX), publication(size, type="t")
    assert encoder.size(sent) == len(encoder.deliver(1, True, sent, bytes(size)))


def test_the_size_is_short_by_the_envelopes_of_further_frames() -> None:
    encoder, sent = DeliverEncoder(5, "ctag", FRAME_SIZE_MAX), publication(2 * CHUNK)
    written = len(encoder.deliver(1, False, sent, bytes(2 * CHUNK)))
    assert 0 < written - encoder.size(sent) <= 2 * 8


def test_an_encoder_follows_a_change_of_publication() -> None:
    encoder = DeliverEncoder(5, "ctag", FRAME_SIZE_MAX)
    first, second = publication(1, key="a"), publication(2, key="b", type="t")
    for sent in (first, second, first):
        [(method, head, _, _)] = read(encoder.deliver(1, False, sent, bytes(sent.body_size)), 5)
        assert (method.routing_key, head.body_size) == (sent.routing_key, sent.body_size)
        [(method, *_)] = read(run(encoder, 2, sent, [bytes(sent.body_size)]), 5)
        assert method.routing_key == sent.routing_key


@given(
    st.integers(1, 65535),
    st.integers(1, 2**63 - 1),
    st.tuples(utf8_names(), utf8_names(), utf8_names()),
    st.sampled_from(SIZES),
    st.booleans(),
)
def test_any_delivery_is_what_pamqp_reads(
    number: int, tag: int, texts: tuple[str, str, str], size: int, redelivered: bool
) -> None:
    consumer_tag, exchange, key = texts
    sent = Publication.of(exchange, key, {"app_id": consumer_tag}, size)
    data = DeliverEncoder(number, consumer_tag, FRAME_SIZE_MAX).deliver(
        tag, redelivered, sent, bytes(size)
    )
    [(method, head, body, _)] = read(data, number)
    values = (consumer_tag, tag, redelivered, exchange, key)
    assert tuple(dict(method).values()) == values
    assert (head.body_size, head.properties.app_id, body) == (size, consumer_tag, bytes(size))


@given(names(), names(), names(), properties())
def test_odd_names_reach_the_consumer_unchanged(
    consumer_tag: str, exchange: str, key: str, values: dict[str, Any]
) -> None:
    sent = Publication.of(exchange, key, values, 1)
    data = DeliverEncoder(1, consumer_tag, FRAME_SIZE_MAX).deliver(7, True, sent, b"x")
    method = encode_method(1, BasicDeliver(consumer_tag, 7, True, exchange, key))
    assert data == method + header_frame(1, sent) + body_frames(1, b"x", FRAME_SIZE_MAX)
