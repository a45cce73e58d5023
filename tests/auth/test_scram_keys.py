"""The stored text of SCRAM keys."""

from __future__ import annotations

import sys
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.auth.scram_keys import (
    SCRAM_SHA_256,
    SCRAM_SHA_512,
    ScramKeys,
    find_scram_keys,
    format_scram_keys,
    load_scramp,
    make_scram_keys,
)


@pytest.mark.parametrize("mechanism", [SCRAM_SHA_256, SCRAM_SHA_512])
def test_made_keys_are_found_again(mechanism: str) -> None:
    text = make_scram_keys(mechanism, "pencil", 4096)
    keys = find_scram_keys(["OTHER$x", text], mechanism)
    assert keys is not None
    assert keys.iterations == 4096
    assert format_scram_keys(mechanism, keys) == text


def test_the_layout_is_that_of_rfc_5803() -> None:
    keys = ScramKeys(b"salt", b"stored", b"server", 4096)
    salt, stored, server = (b64encode(part).decode() for part in keys[:3])
    assert format_scram_keys(SCRAM_SHA_256, keys) == (
        f"SCRAM-SHA-256$4096:{salt}${stored}:{server}"
    )


def test_the_password_does_not_show_in_the_keys() -> None:
    text = make_scram_keys(SCRAM_SHA_256, "pencil", 4096)
    assert "pencil" not in text
    assert repr(find_scram_keys([text], SCRAM_SHA_256)) == "ScramKeys(iterations=4096)"


def test_a_password_or_a_cost_that_scram_forbids_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be used with SCRAM-SHA-256"):
        make_scram_keys(SCRAM_SHA_256, "bell\a", 4096)
    with pytest.raises(ValueError, match="cannot be used with SCRAM-SHA-256"):
        make_scram_keys(SCRAM_SHA_256, "pencil", 1)


def test_no_keys_for_a_mechanism_is_none() -> None:
    text = make_scram_keys(SCRAM_SHA_256, "pencil", 4096)
    assert find_scram_keys([text], SCRAM_SHA_512) is None


@given(st.text())
def test_a_text_that_does_not_parse_is_none(text: str) -> None:
    assert find_scram_keys([f"SCRAM-SHA-256${text}"], SCRAM_SHA_256) is None


@pytest.mark.parametrize(
    "keys",
    [
        ScramKeys(b"short", b"stored", b"server", 4096),
        ScramKeys(b"long enough!", b"stored", b"server", 4095),
        ScramKeys(b"long enough!", b"stored", b"server", 10_000_001),
    ],
)
def test_keys_that_no_login_could_use_are_none(keys: ScramKeys) -> None:
    assert find_scram_keys([format_scram_keys(SCRAM_SHA_256, keys)], SCRAM_SHA_256) is None


def test_scramp_is_there_once_it_is_loaded() -> None:
    load_scramp()
    assert "scramp" in sys.modules
