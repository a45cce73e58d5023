"""What policies may say; the texts are RabbitMQ 3.10's (FEATURES A13.1, A13.2, A13.4)."""

from __future__ import annotations

from typing import Any

import pytest

from amqpbroker.broker.policies import Policy
from amqpbroker.broker.policy_checks import InvalidPolicy, check_policy, unknown_settings

VALID: list[dict[str, Any]] = [
    {"alternate-exchange": "x"},
    {"dead-letter-exchange": "", "dead-letter-routing-key": "k"},
    {"dead-letter-strategy": "at-least-once"},
    {"delayed-retry-min": 1, "delayed-retry-max": 10, "delayed-retry-multiplier": 2},
    {"delayed-retry-type": "all"},
    {"delivery-limit": 0},
    {"expires": 1},
    {"ha-mode": "all", "ha-sync-mode": "automatic"},
    {"ha-mode": "exactly", "ha-params": 2},
    {"ha-mode": "nodes", "ha-params": ["a@b"]},
    {"initial-cluster-size": 0},
    {"max-age": "7D"},
    {"max-in-memory-length": 0, "max-in-memory-bytes": 0},
    {"max-length": 0, "max-length-bytes": 10**30},
    {"message-ttl": 10**12},
    {"overflow": "reject-publish-dlx"},
    {"queue-leader-locator": "client-local"},
    {"queue-master-locator": "min-masters"},
    {"queue-mode": "lazy", "queue-version": 2},
    {"stream-max-segment-size-bytes": 3_000_000_000},
]
WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "no policy provided"),
    ({"bogus": 1}, '[{<<"bogus">>,1}] are not recognised policy settings'),
    (
        {"b": "x", "a": [True, None, {"c": 1.5}]},
        '[{<<"a">>,[true,null,#{<<"c">> => 1.5}]},{<<"b">>,<<"x">>}]'
        " are not recognised policy settings",
    ),
    ({"bogus": 1, "message-ttl": -1}, "-1 is not a valid message TTL"),
    ({"message-ttl": "x"}, '<<"x">> is not a valid message TTL'),
    ({"message-ttl": 1.5}, "1.5 is not a valid message TTL"),
    ({"max-length": -1, "expires": 0}, "0 is not a valid queue expiry"),
    ({"max-length-bytes": True}, "true is not a valid maximum length in bytes"),
    ({"max-length-bytes": None}, "null is not a valid maximum length in bytes"),
    ({"max-in-memory-length": -1}, "-1 is not a valid maximum memory in bytes"),
    ({"overflow": "x"}, '<<"x">> is not a valid overflow value'),
    ({"dead-letter-exchange": 1}, "1 is not a valid dead letter exchange name"),
    ({"delayed-retry-min": 0}, "0 is not a valid delayed retry minimum"),
    ({"delayed-retry-multiplier": 1.5}, "1.5 is not a valid delayed retry multiplier"),
    ({"delayed-retry-type": "x"}, '<<"x">> is not a valid delayed retry type'),
    ({"queue-version": True}, "true is not a valid queue-version value"),
    ({"queue-master-locator": "x"}, '<<"x">> invalid queue-master-locator value'),
    ({"max-age": 1}, "1 is not a valid max age"),
    ({"stream-max-segment-size-bytes": 10**10}, "10000000000 is not a valid segment size"),
    (
        {"ha-sync-mode": "automatic"},
        "ha-mode must be specified to specify ha-params, ha-sync-mode or ha-promote-on-shutdown",
    ),
    ({"ha-mode": "exactly"}, 'ha-mode="exactly" takes an integer, none given'),
    ({"ha-mode": "nodes", "ha-params": 1}, 'ha-mode="nodes" takes a list of strings, 1 given'),
    (
        {"ha-mode": "all", "ha-sync-mode": "x"},
        'ha-sync-mode must be "manual" or "automatic", got <<"x">>',
    ),
]


def check(definition: dict[str, Any], *, is_operator: bool = False, **values: Any) -> Policy:
    renamed = {key.replace("_", "-"): value for key, value in values.items()}
    return check_policy("p", {"pattern": "^q", **renamed}, definition, is_operator=is_operator)


@pytest.mark.parametrize("definition", VALID, ids=str)
def test_what_is_taken(definition: dict[str, Any]) -> None:
    assert check(definition) == Policy("p", "^q", definition)


@pytest.mark.parametrize(("definition", "text"), WRONG, ids=str)
def test_what_is_refused(definition: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        check(definition)
    assert str(caught.value) == text


def test_operator_policies_know_numbers_only() -> None:
    numbers = {"expires": 1, "max-length": 1, "message-ttl": 1, "delivery-limit": 1}
    assert check(numbers, is_operator=True).definition == numbers
    with pytest.raises(InvalidPolicy, match=r'^\[\{<<"overflow">>,<<"drop-head">>\}\] are not rec'):
        check({"overflow": "drop-head"}, is_operator=True)
    assert unknown_settings({"overflow": 1, "expires": 1}, is_operator=True) == {"overflow": 1}


@pytest.mark.parametrize("apply_to", ["all", "exchanges", "queues", "classic_queues", "streams"])
def test_what_policies_may_apply_to(apply_to: str) -> None:
    assert check({"max-length": 1}, apply_to=apply_to).apply_to == apply_to


@pytest.mark.parametrize("priority", [0, -3, 1.5, 2**62])
def test_priorities(priority: float) -> None:
    assert check({"max-length": 1}, priority=priority).priority == priority


def test_a_priority_that_no_float_can_hold() -> None:
    with pytest.raises(InvalidPolicy):
        check({"max-length": 1}, priority=10**400)


@pytest.mark.parametrize(
    ("priority", "shown"),
    [
        ("3", '<<"3">>'),
        (None, "null"),
        (True, "true"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
        (2**63, "9223372036854775808"),
    ],
)
def test_what_is_no_priority(priority: Any, shown: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        check({"max-length": 1}, priority=priority)
    assert str(caught.value) == f"priority should be a number, actually was {shown}"


def test_all_mistakes_are_named_a_line_each() -> None:
    with pytest.raises(InvalidPolicy) as caught:
        check({"bogus": 1}, pattern="[", priority="x", apply_to=["y"])
    assert str(caught.value).splitlines() == [
        '[{<<"bogus">>,1}] are not recognised policy settings',
        "apply-to '['y']' unrecognised; should be one of: 'queues', 'classic_queues', "
        "'quorum_queues', 'streams', 'exchanges', or 'all'",
        "pattern should be regular expression but is invalid: "
        "unterminated character set at position 0",
        'priority should be a number, actually was <<"x">>',
    ]


def test_a_pattern_is_text() -> None:
    with pytest.raises(InvalidPolicy, match=r"^pattern should be a binary but was 1$"):
        check({"max-length": 1}, pattern=1)
