"""Names: made up, reserved, cleaned, described."""

from __future__ import annotations

import re

import pytest

from amqpbroker.broker.names import check_new, described, generate, strip_line_ends
from amqpbroker.errors import SoftError


def test_generated_names_look_like_rabbitmqs_and_never_repeat() -> None:
    names = {generate("amq.gen") for _ in range(100)}
    assert len(names) == 100
    assert all(re.fullmatch(r"amq\.gen-[A-Za-z0-9_-]{22}", name) for name in names)


@pytest.mark.parametrize(("name", "stored"), [("a\r\nb\n", "ab"), ("a b", "a b"), ("", "")])
def test_line_ends_are_dropped(name: str, stored: str) -> None:
    assert strip_line_ends(name) == stored


@pytest.mark.parametrize("name", ["amq", "amqp.x", "AMQ.x", "x.amq."])
def test_only_names_with_the_prefix_are_reserved(name: str) -> None:
    check_new("queue", name)


def test_a_reserved_name_is_refused() -> None:
    with pytest.raises(SoftError) as raised:
        check_new("queue", "amq.mine")
    text = "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'"
    assert (raised.value.reply_code, raised.value.reply_text) == (403, text)


def test_how_errors_name_things() -> None:
    assert described("exchange", "x", "/") == "exchange 'x' in vhost '/'"
