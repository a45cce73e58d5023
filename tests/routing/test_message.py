"""Sender-selected distribution: the keys in CC and BCC."""

from __future__ import annotations

from typing import Any

import pytest

from amqpbroker.errors import SoftError
from amqpbroker.routing.message import sender_selected_keys
from tests.routing.samples import PlainMessage, exchange_of, queues_of, to_queue


def test_no_header_no_keys() -> None:
    assert sender_selected_keys({}) == ()
    assert sender_selected_keys({"cc": ("S", b"the name is in capitals")}) == ()


def test_cc_comes_before_bcc_and_only_long_strings_count() -> None:
    headers = {
        "BCC": ("A", (("S", b"d"),)),
        "CC": ("A", (("I", 1), ("S", b"b"), ("t", True), ("S", b"c\xff"))),
    }
    assert sender_selected_keys(headers) == ("b", "c\udcff", "d")


@pytest.mark.parametrize("header", ["CC", "BCC"])
@pytest.mark.parametrize(
    ("field", "kind"),
    [
        (("S", b"abc"), "longstr"),
        (("I", 1), "signedint"),
        (("F", {"a": ("I", 1)}), "table"),
        (("V", None), "void"),
    ],
)
def test_a_header_that_is_no_array_is_refused(
    header: str, field: tuple[str, Any], kind: str
) -> None:
    with pytest.raises(SoftError) as caught:
        sender_selected_keys({header: field})
    reason = f'{{unacceptable_type_in_header,"{header}",{kind}}}'
    assert caught.value.reply_text == f"PRECONDITION_FAILED - invalid message: {reason}"


def test_a_queue_gets_one_copy_however_many_keys_lead_to_it() -> None:
    exchange = exchange_of("direct", to_queue("q", "a"), to_queue("q", "b"), to_queue("r", "b"))
    assert queues_of(exchange, PlainMessage("a", extra_keys=("b", "a", "b"))) == ["q", "r"]
