"""What mechanisms share."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.auth.sasl.mechanism import DEFAULT_SETTINGS, decode_name


@given(st.binary())
def test_any_bytes_make_a_name(data: bytes) -> None:
    assert decode_name(data).encode("utf-8", "surrogateescape") == data


def test_anonymous_is_off_by_default() -> None:
    assert DEFAULT_SETTINGS.anonymous_login_user is None
