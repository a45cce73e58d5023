"""One event, one line."""

from __future__ import annotations

import logging
import sys

from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.log_format import OneLine, escape


def line(text: str, *, has_failed: bool = False) -> str:
    error = None
    if has_failed:
        try:
            raise ValueError("on\ntwo lines")
        except ValueError:
            error = sys.exc_info()
    record = logging.LogRecord("amqpbroker.x", logging.INFO, "x.py", 1, "%s", (text,), error)
    return OneLine().format(record)


def test_a_line_says_when_how_bad_where_and_what() -> None:
    assert line("user 'j\u00fcrgen' opened vhost '/'").endswith(
        " INFO amqpbroker.x user 'j\u00fcrgen' opened vhost '/'"
    )


def test_a_name_writes_no_line_of_its_own() -> None:
    assert line("user 'a\nb\x1b[2J\u2028\udcff' came").endswith(
        "user 'a\\nb\\x1b[2J\\u2028\\udcff' came"
    )


def test_a_traceback_keeps_its_lines() -> None:
    assert line("a\nb", has_failed=True).splitlines()[0].endswith("a\\nb")
    assert line("x", has_failed=True).splitlines()[-1] == "two lines"


@given(st.text(st.characters()))
def test_any_text_can_be_printed(text: str) -> None:
    assert escape(text).isprintable()
    assert escape(escape(text)) == escape(text)
