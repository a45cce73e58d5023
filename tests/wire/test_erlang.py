"""How RabbitMQ prints bytes; the expected texts were taken from RabbitMQ 3.10.8."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.wire.erlang import format_binary, format_frame, format_octets


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "<<>>"),
        (b"hello", '<<"hello">>'),
        (b'a"b\\c', r'<<"a\"b\\c">>'),
        (b"\b\t\n\v\f\r\x1b", r'<<"\b\t\n\v\f\r\e">>'),
        (b"a\x07", "<<97,7>>"),
        (b"a\x7f", "<<97,127>>"),
        (b"\x00\x3c\x00", "<<0,60,0>>"),
    ],
)
def test_a_binary_is_text_if_all_of_it_is_printable(data: bytes, text: str) -> None:
    assert format_binary(data) == text


def test_latin_1_is_printed_as_numbers_to_keep_reply_texts_utf_8() -> None:
    assert format_binary("é".encode("latin-1")) == "<<233>>"


def test_octets_are_numbers_even_if_printable() -> None:
    assert format_octets(b"") == "<<>>"
    assert format_octets(b"abc") == "<<97,98,99>>"


def test_a_frame_shows_all_of_a_short_payload() -> None:
    assert format_frame(8, b"") == "type 8, all octets = <<>>"
    assert format_frame(4, b"x" * 16) == f'type 4, all octets = <<"{"x" * 16}">>'


def test_a_frame_shows_the_start_of_a_long_payload() -> None:
    assert format_frame(1, b"x" * 17) == f'type 1, first 16 octets = <<"{"x" * 16}">>'
    assert format_frame(1, bytes(17)) == f"type 1, first 16 octets = <<{'0,' * 15}0>>"


@given(st.binary())
def test_every_text_is_printable_ascii(data: bytes) -> None:
    assert format_binary(data).isascii()
    assert format_binary(data).isprintable()
