"""Which arguments of deduplicating exchanges are refused (FEATURES A12.12)."""

from __future__ import annotations

from typing import Any

import pytest

from amqpbroker.errors import SoftError
from tests.routing.samples import exchange_of

ON = {"x-message-deduplication": ("t", True)}


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (
            {"x-message-deduplication": ("S", b"true")},
            "invalid type 'longstr' for arg 'x-message-deduplication' in exchange 'x' in vhost '/'",
        ),
        (
            {**ON, "x-deduplication-header": ("I", 1)},
            "invalid type 'signedint' for arg 'x-deduplication-header' in exchange 'x' in vhost"
            " '/'",
        ),
        (
            {**ON, "x-cache-size": ("I", 0)},
            "Invalid argument, 'x-cache-size' must be an integer greater than 0",
        ),
        (
            {**ON, "x-cache-ttl": ("S", b"soon")},
            "Invalid argument, 'x-cache-ttl' must be an integer greater than 0",
        ),
        (
            {**ON, "x-cache-ttl": ("S", b"00")},
            "Invalid argument, 'x-cache-ttl' must be an integer greater than 0",
        ),
        (
            {**ON, "x-cache-ttl": ("d", 1.5)},
            "Invalid argument, 'x-cache-ttl' must be an integer greater than 0",
        ),
    ],
)
def test_what_is_refused(arguments: dict[str, tuple[str, Any]], wrong: str) -> None:
    with pytest.raises(SoftError) as caught:
        exchange_of("topic", arguments=arguments)
    assert str(caught.value) == f"406 PRECONDITION_FAILED - {wrong}"


@pytest.mark.parametrize(
    "arguments",
    [
        ON,
        {**ON, "x-cache-size": ("S", b"5"), "x-cache-ttl": ("l", 1)},
        {**ON, "x-cache-size": ("S", b"9" * 5000)},
        {**ON, "x-deduplication-header": ("S", b"id")},
        {"x-cache-size": ("I", 0)},
    ],
)
def test_what_is_fine(arguments: dict[str, tuple[str, Any]]) -> None:
    assert exchange_of("topic", arguments=arguments).arguments == arguments
