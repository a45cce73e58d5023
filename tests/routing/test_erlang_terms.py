"""Values read as Erlang prints them; the expected texts are Erlang's."""

from __future__ import annotations

from typing import Any

import pytest

from amqpbroker.routing.erlang_terms import print_binary, print_key, print_value


@pytest.mark.parametrize(
    ("data", "printed"),
    [
        (b"", "<<>>"),
        (b"foo", '<<"foo">>'),
        (b'a"b\\c', '<<"a\\"b\\\\c">>'),
        (b"tab\t\n\x1b\b\r\v\f", '<<"tab\\t\\n\\e\\b\\r\\v\\f">>'),
        (b"\x00\x01", "<<0,1>>"),
        (b"x\x00", "<<120,0>>"),
        (b"\x7f", "<<127>>"),
        (b"\x80", "<<128>>"),
        ("h\u00e9".encode(), '<<"h\u00e9">>'),
    ],
)
def test_binaries(data: bytes, printed: str) -> None:
    assert print_binary(data) == printed


def test_a_key_is_printed_as_its_bytes() -> None:
    assert print_key("a\udcff") == '<<"a\udcff">>'
    assert print_key("\u4e00") == "<<228,184,128>>"


@pytest.mark.parametrize(
    ("kind", "value", "printed"),
    [
        ("t", True, "true"),
        ("t", False, "false"),
        ("V", None, "undefined"),
        ("l", -7, "-7"),
        ("d", 1.5, "1.5"),
        ("D", (2, 5), "{2,5}"),
        ("S", b"a", '<<"a">>'),
        ("x", b"a", '<<"a">>'),
        ("A", (), "[]"),
        ("A", (("S", b"a"), ("I", 1)), '[{longstr,<<"a">>},{signedint,1}]'),
        ("F", {"k": ("S", b"v")}, '[{<<"k">>,longstr,<<"v">>}]'),
    ],
)
def test_values(kind: str, value: Any, printed: str) -> None:
    assert print_value(kind, value) == printed
