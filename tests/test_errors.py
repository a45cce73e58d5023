"""Reply codes, texts and the split of soft and hard errors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import exceptions

from amqpbroker import errors
from amqpbroker.errors import (
    CODE_NAMES,
    REPLY_TEXT_SIZE_MAX,
    AmqpError,
    HardError,
    SoftError,
    cut_text,
)

HELPERS = {
    errors.access_refused: 403,
    errors.not_found: 404,
    errors.resource_locked: 405,
    errors.precondition_failed: 406,
    errors.frame_error: 501,
    errors.syntax_error: 502,
    errors.command_invalid: 503,
    errors.channel_error: 504,
    errors.unexpected_frame: 505,
    errors.not_allowed: 530,
    errors.not_implemented: 540,
    errors.internal_error: 541,
}


def test_code_names_agree_with_pamqp() -> None:
    theirs = {code: vars(cls)["name"] for code, cls in exceptions.CLASS_MAPPING.items()}
    assert {code: name.replace("-", "_") for code, name in theirs.items()} == CODE_NAMES


@pytest.mark.parametrize(("helper", "code"), HELPERS.items())
def test_a_helper_makes_its_code_and_the_right_class(helper: object, code: int) -> None:
    assert callable(helper)
    error = helper("why")
    assert error.reply_code == code
    is_soft = issubclass(exceptions.CLASS_MAPPING[code], exceptions.AMQPSoftError)
    assert type(error) is (SoftError if is_soft else HardError)


def test_the_text_is_code_name_dash_explanation() -> None:
    error = errors.not_found("no queue 'q' in vhost '/'")
    assert error.reply_text == "NOT_FOUND - no queue 'q' in vhost '/'"
    assert str(error) == "404 NOT_FOUND - no queue 'q' in vhost '/'"


def test_no_method_failed_unless_somebody_says_so() -> None:
    assert errors.frame_error("x").failing == (0, 0)


def test_soft_and_hard_are_amqp_errors() -> None:
    assert issubclass(SoftError, AmqpError)
    assert issubclass(HardError, AmqpError)
    assert not issubclass(SoftError, HardError)


def test_a_text_of_255_bytes_stays_whole() -> None:
    assert cut_text("x" * 255) == "x" * 255


def test_a_longer_text_ends_in_dots() -> None:
    assert cut_text("x" * 256) == "x" * 252 + "..."


def test_a_cut_never_splits_a_character() -> None:
    assert cut_text("x" + "é" * 200) == "x" + "é" * 125 + "..."


def test_bytes_that_are_not_utf_8_survive_a_cut() -> None:
    text = b"\xff".decode("utf-8", "surrogateescape") * 300
    assert cut_text(text) == text[:252] + "..."


@given(st.binary(max_size=400))
def test_a_text_always_fits_a_short_string(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    cut = cut_text(text).encode("utf-8", "surrogateescape")
    assert len(cut) <= REPLY_TEXT_SIZE_MAX
    assert cut == data or (cut.endswith(b"...") and data.startswith(cut[:-3]))
