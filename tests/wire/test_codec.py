"""Annotations make the codec: every wire type, and arguments that do not fit."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.errors import HardError
from amqpbroker.wire import methods as m
from amqpbroker.wire.codec import (
    METHODS,
    Bit,
    Long,
    LongLong,
    LongStr,
    Method,
    Octet,
    Short,
    ShortStr,
    TableField,
    decode_method,
    encode_method,
    method,
)
from amqpbroker.wire.table import Field
from tests.amqp_bytes import longstr, method_frame, raw_frame, shortstr, table
from tests.wire.peer import refusal
from tests.wire.strategies import methods


@method(65000, 1, "test.all_types")
class AllTypes(Method):
    octet: Octet
    first: Bit
    second: Bit
    short: Short
    third: Bit
    long: Long
    longlong: LongLong
    name: ShortStr
    data: LongStr
    arguments: TableField
    b0: Bit
    b1: Bit
    b2: Bit
    b3: Bit
    b4: Bit
    b5: Bit
    b6: Bit
    b7: Bit


del METHODS[65000 << 16 | 1]

ALL_TYPES = (
    b"\x01"
    + b"\x02"
    + b"\x00\x03"
    + b"\x01"
    + b"\x00\x00\x00\x04"
    + struct.pack(">Q", 2**64 - 1)
    + shortstr("é")
    + longstr(b"\xff")
    + table({"n": ("t", True)})
    + b"\x81"
)


def payload_of(frame: bytes) -> bytes:
    """Return the payload of a frame whose envelope is right."""
    kind, _, size = struct.unpack_from(">BHI", frame)
    assert (kind, size, frame[-1]) == (1, len(frame) - 8, 0xCE)
    return frame[7:-1]


def test_every_wire_type_has_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, 65000 << 16 | 1, AllTypes)
    bits = (True, *[False] * 6, True)
    arguments = {"n": Field("t", True)}
    sent = AllTypes(1, False, True, 3, True, 4, 2**64 - 1, "é", b"\xff", arguments, *bits)
    frame = encode_method(7, sent)
    assert frame == method_frame(7, 65000, 1, ALL_TYPES)
    assert decode_method(payload_of(frame)) == sent


def test_a_class_knows_its_numbers_and_its_name() -> None:
    assert (m.QueueDeclare.class_id, m.QueueDeclare.method_id) == (50, 10)
    assert m.QueueDeclare.method_name == "queue.declare"
    assert METHODS[50 << 16 | 10] is m.QueueDeclare


def test_bits_that_mean_nothing_are_ignored() -> None:
    ack = decode_method(b"\x00\x3c\x00\x50" + bytes(8) + b"\xfe")
    assert ack == m.BasicAck(0, False)


@pytest.mark.parametrize(
    "name", ["", "n" * 255, "é" * 127, b"\xff\xfe".decode("utf-8", "surrogateescape")]
)
def test_odd_names_survive(name: str) -> None:
    sent = m.BasicPublish(0, "", name, False, False)
    assert decode_method(payload_of(encode_method(1, sent))) == sent


def test_only_a_message_may_have_a_name_that_is_not_utf_8() -> None:
    bind = m.QueueBind(0, "q", "x", "\udcff", False, {})
    with pytest.raises(HardError, match="501 FRAME_ERROR - Malformed UTF-8 in shortstr") as caught:
        decode_method(payload_of(encode_method(1, bind)))
    assert caught.value.failing == (0, 0)


def test_a_name_over_255_bytes_cannot_be_sent() -> None:
    with pytest.raises(ValueError, match="byte must be"):
        encode_method(1, m.BasicCancelOk("é" * 128))


@given(methods(), st.integers(0, 65535))
def test_what_was_encoded_decodes_to_the_same(sent: Method, number: int) -> None:
    frame = encode_method(number, sent)
    payload = payload_of(frame)
    received = decode_method(payload)
    assert received == sent
    assert encode_method(number, received) == frame == raw_frame(1, number, payload)


@given(methods(), st.data())
def test_arguments_that_end_early_are_a_hard_error(sent: Method, data: st.DataObject) -> None:
    payload = payload_of(encode_method(1, sent))
    cut = data.draw(st.integers(0, len(payload) - 1))
    with pytest.raises(HardError) as caught:
        decode_method(payload[:cut])
    assert caught.value.reply_code in {501, 502}


@given(methods(), st.binary(min_size=1))
def test_arguments_that_go_on_are_a_frame_error(sent: Method, rest: bytes) -> None:
    with pytest.raises(HardError, match="501 FRAME_ERROR - cannot decode <<") as caught:
        decode_method(payload_of(encode_method(1, sent)) + rest)
    assert caught.value.failing == (sent.class_id, sent.method_id)


def test_arguments_are_shown_as_rabbitmq_shows_them() -> None:
    with pytest.raises(HardError) as caught:
        decode_method(b"\x00\x3c\x00\x46\x00\x00\x05q\x00")
    assert caught.value.reply_text == "FRAME_ERROR - cannot decode <<0,0,5,113,0>>"
    assert caught.value.failing == (60, 70)


def test_long_arguments_are_cut() -> None:
    with pytest.raises(HardError) as caught:
        decode_method(b"\x00\x14\x00\x14" + bytes(100_000))
    assert len(caught.value.explanation) < 600
    assert caught.value.reply_text.endswith(",0,...")
    assert len(caught.value.reply_text) == 255


def test_a_malformed_table_names_the_method() -> None:
    arguments = bytes(2) + shortstr("q") + bytes(1) + longstr(b"\x01aQ")
    with pytest.raises(HardError, match="unknown field type 81") as caught:
        decode_method(payload_of(method_frame(1, 50, 10, arguments)))
    assert (caught.value.reply_code, caught.value.failing) == (502, (50, 10))


@pytest.mark.parametrize(("class_id", "method_id"), [(60, 99), (99, 10), (65535, 65535)])
def test_an_unknown_method_is_command_invalid(class_id: int, method_id: int) -> None:
    with pytest.raises(HardError, match=f"503 .* unknown method {class_id}.{method_id}") as caught:
        decode_method(struct.pack(">HH", class_id, method_id))
    assert caught.value.failing == (class_id, method_id)


@given(st.binary())
def test_any_bytes_are_a_method_or_a_hard_error(payload: bytes) -> None:
    with_known_ids = [struct.pack(">I", index) + payload for index in METHODS]
    for data in (payload, *with_known_ids):
        assert refusal(decode_method, data) in {None, 501, 502, 503}
