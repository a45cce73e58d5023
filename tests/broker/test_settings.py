"""Arguments of a queue as the broker works with them."""

from __future__ import annotations

from amqpbroker.broker.settings import ORDINARY, QueueSettings
from amqpbroker.wire.table import Field


def test_no_arguments_are_the_shared_settings() -> None:
    assert QueueSettings.of({}) is ORDINARY
    assert QueueSettings.of({"x-single-active-consumer": Field("t", True)}) is ORDINARY


def test_every_argument_is_read() -> None:
    arguments = {
        "x-message-ttl": Field("I", 1),
        "x-expires": Field("l", 2),
        "x-max-length": Field("b", 3),
        "x-max-length-bytes": Field("i", 4),
        "x-max-priority": Field("B", 5),
        "x-overflow": Field("S", b"reject-publish"),
        "x-dead-letter-exchange": Field("S", b""),
        "x-dead-letter-routing-key": Field("S", "schlüssel".encode()),
    }
    assert QueueSettings.of(arguments) == QueueSettings(
        message_ttl_ms=1,
        expires_ms=2,
        max_length=3,
        max_size=4,
        max_priority=5,
        overflow="reject-publish",
        dead_letter_exchange="",
        dead_letter_routing_key="schlüssel",
    )


def test_an_empty_exchange_name_is_not_none() -> None:
    assert QueueSettings.of({"x-dead-letter-exchange": Field("S", b"")}).dead_letter_exchange == ""
    assert QueueSettings.of({"x-message-ttl": Field("I", 0)}).message_ttl_ms == 0
