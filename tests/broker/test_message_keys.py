"""Which headers are keys."""

from __future__ import annotations

from typing import Any

import pytest

from amqpbroker.broker.message_keys import key_in
from amqpbroker.wire.content import Publication
from amqpbroker.wire.table import Field


@pytest.mark.parametrize(
    ("field", "key"),
    [
        (Field("S", b"a"), b"a"),
        (Field("S", b""), b""),
        (Field("I", 17), b"17"),
        (Field("l", -1), b"-1"),
        (Field("t", True), None),
        (Field("d", 1.5), None),
        (Field("V", None), None),
        (Field("A", ()), None),
        (None, None),
    ],
)
def test_texts_and_integers_are_keys(field: Any, key: bytes | None) -> None:
    headers = {} if field is None else {"k": field}
    assert key_in(Publication.of("", "q", {"headers": headers}, 1), "k") == key


def test_without_headers_there_is_none() -> None:
    assert key_in(Publication.of("", "q", {}, 1), "k") is None
