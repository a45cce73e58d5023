"""Headers of a proxy (FEATURES A1.18)."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.proxy_protocol import (
    BODY_SIZE_MAX,
    SIGNATURE,
    BadProxyHeader,
    ProxiedAddresses,
    read_header,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine

FOUR = ProxiedAddresses(("192.0.2.7", 50000), ("192.0.2.1", 5672))
SIX = ProxiedAddresses(("2001:db8::7", 50000), ("2001:db8::1", 5672))
IPV4 = bytes([192, 0, 2, 7, 192, 0, 2, 1]) + struct.pack(">HH", 50000, 5672)
IPV6 = bytes.fromhex("20010db8" + "00" * 11 + "07" + "20010db8" + "00" * 11 + "01") + IPV4[8:]


def version_2(body: bytes, family: int = 0x11, command: int = 0x21) -> bytes:
    return SIGNATURE + struct.pack(">BBH", command, family, len(body)) + body


class Stream:
    """Hands out what it holds, in pieces of at most ``chunk`` bytes."""

    def __init__(self, data: bytes, chunk: int = 1 << 20) -> None:
        self.data = data
        self.chunk = chunk

    async def receive(self, size: int) -> bytes:
        if not self.data:
            raise EOFError
        size = min(size, self.chunk)
        data, self.data = self.data[:size], self.data[size:]
        return data


def read(data: bytes, chunk: int = 1 << 20) -> tuple[ProxiedAddresses | None, bytes]:
    """Return what a header says, and what is left for others."""
    stream = Stream(data, chunk)
    return at_once(read_header(stream.receive)), stream.data


def at_once(reading: Coroutine[object, object, ProxiedAddresses | None]) -> ProxiedAddresses | None:
    try:
        reading.send(None)
    except StopIteration as stop:
        found: ProxiedAddresses | None = stop.value
        return found
    raise AssertionError("it waits")


HEADERS = [
    (b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 5672\r\n", FOUR),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 50000 5672\r\n", SIX),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", None),
    (version_2(IPV4), FOUR),
    (version_2(IPV4 + b"\x03\0\x04more"), FOUR),
    (version_2(IPV6, 0x21), SIX),
    (version_2(IPV4, command=0x20), None),
    (version_2(b"", family=0, command=0x20), None),
    (version_2(bytes(216), family=0x31), None),
]


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
@pytest.mark.parametrize(("header", "addresses"), HEADERS)
def test_a_header_is_read_to_its_end_and_no_further(
    header: bytes, addresses: ProxiedAddresses | None, chunk: int
) -> None:
    assert read(header + b"AMQP\0\0\x09\x01", chunk) == (addresses, b"AMQP\0\0\x09\x01")


@pytest.mark.parametrize(
    "header",
    [
        b"AMQP\0\0\x09\x01 and more",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 50000\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 5672 1\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 65536\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 -1\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 50000 5672\r\n",
        b"PROXY TCP4 localhost 192.0.2.1 50000 5672\r\n",
        b"PROXY UDP4 192.0.2.7 192.0.2.1 50000 5672\r\n",
        b"PROXY " + bytes(200),
        version_2(IPV4, command=0x22),
        version_2(IPV4, command=0x11),
        version_2(IPV4[:-1]),
        version_2(bytes(BODY_SIZE_MAX + 1)),
    ],
)
def test_what_is_no_header(header: bytes) -> None:
    with pytest.raises(BadProxyHeader):
        read(header)


@given(st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE]), st.binary(max_size=300))
def test_any_bytes_are_a_header_or_none(start: bytes, rest: bytes) -> None:
    with suppress(BadProxyHeader, EOFError):
        read(start + rest)
