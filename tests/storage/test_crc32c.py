"""CRC32C: known values, and the folding version against the table."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.storage.crc32c import POLYNOMIAL_REFLECTED, extend, extend_python


def bit_by_bit(crc: int, data: bytes) -> int:
    """The definition, as the oracle."""
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (POLYNOMIAL_REFLECTED if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_the_check_value_of_the_standard() -> None:
    assert extend_python(0, b"123456789") == 0xE3069283


def test_the_vectors_of_rfc_3720() -> None:
    assert extend_python(0, bytes(32)) == 0x8A9136AA
    assert extend_python(0, b"\xff" * 32) == 0x62A8AB43
    assert extend_python(0, bytes(range(32))) == 0x46DD794E


@given(st.binary(max_size=700), st.integers(0, 0xFFFFFFFF))
def test_folding_agrees_with_the_definition(data: bytes, crc: int) -> None:
    assert extend_python(crc, data) == bit_by_bit(crc, data)


@given(st.binary(max_size=700), st.binary(max_size=700))
def test_a_message_may_come_in_pieces(first: bytes, second: bytes) -> None:
    assert extend_python(extend_python(0, first), second) == extend_python(0, first + second)


def test_the_chosen_version_agrees_on_long_messages() -> None:
    data = bytes(range(251)) * 1001
    assert extend(7, data) == extend_python(7, data)
