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


def test_the_lower_number_of_argument_and_policy_is_in_force() -> None:
    arguments = {"x-max-length": Field("I", 3), "x-message-ttl": Field("I", 3)}
    settings = QueueSettings.of(arguments, {"max-length": 2, "message-ttl": 9, "expires": 7})
    assert settings == QueueSettings(max_length=2, message_ttl_ms=3, expires_ms=7)


def test_the_text_of_an_argument_is_in_force() -> None:
    policy = {"overflow": "drop-head", "dead-letter-exchange": "p", "dead-letter-routing-key": "k"}
    arguments = {
        "x-overflow": Field("S", b"reject-publish"),
        "x-dead-letter-exchange": Field("S", b""),
    }
    assert QueueSettings.of(arguments, policy) == QueueSettings(
        overflow="reject-publish", dead_letter_exchange="", dead_letter_routing_key="k"
    )


def test_a_policy_that_means_nothing_here_leaves_the_shared_settings() -> None:
    assert QueueSettings.of({}, {"queue-mode": "lazy"}) is ORDINARY


def test_a_policy_may_name_any_time() -> None:
    settings = QueueSettings.of({}, {"message-ttl": 10**400, "expires": 10**400})
    assert (settings.message_ttl_ms, settings.expires_ms) == (315_360_000_000, 315_360_000_000)
