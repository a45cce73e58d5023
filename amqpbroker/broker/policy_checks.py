"""What a policy may say (FEATURES A13.1, A13.2, A13.4), refused in RabbitMQ's words.

The keys are those of RabbitMQ 3.10 without plugins, ``consumer-timeout`` and ``delayed-retry-*`` of
later versions, and ``ack-deadline``, which is ours. Some mean nothing to the queues that there are
here (mirroring, lazy queues); they are taken, so that definitions of a RabbitMQ can be imported,
and shown again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from amqpbroker.auth.exceptions import InvalidRegexp
from amqpbroker.auth.regexps import compile_regexp
from amqpbroker.broker.arguments import RETRY_TYPES, is_max_age
from amqpbroker.broker.policies import QUEUE_TYPES, Policy
from amqpbroker.routing.erlang_terms import print_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Check = Callable[[Any], bool]

APPLY_TO: Final = ("all", "exchanges", "queues", *QUEUE_TYPES.values())
SEGMENT_SIZE_MAX: Final = 3_000_000_000
"""Bytes of a segment of a stream, in RabbitMQ."""
_PRIORITIES: Final = range(-(2**63), 2**63)
"""What the catalog can keep."""


class InvalidPolicy(Exception):
    """What is wrong with a policy, a line for each mistake."""


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _integer(minimum: int, maximum: float = math.inf) -> Check:
    def check(value: Any) -> bool:
        is_integer = isinstance(value, int) and not isinstance(value, bool)
        return is_integer and minimum <= value <= maximum

    return check


def _one_of(*values: object) -> Check:
    return lambda value: not isinstance(value, bool) and value in values


_NOT_VALID: Final = "{} is not a valid "
_IN_MEMORY: Final = (_integer(0), _NOT_VALID + "maximum memory in bytes")
_CHECKS: Final[dict[str, tuple[Check, str]]] = {
    "ack-deadline": (_integer(1), _NOT_VALID + "ack deadline"),
    "alternate-exchange": (_is_text, _NOT_VALID + "alternate exchange name"),
    "consumer-timeout": (_integer(1), _NOT_VALID + "consumer timeout"),
    "dead-letter-exchange": (_is_text, _NOT_VALID + "dead letter exchange name"),
    "dead-letter-routing-key": (_is_text, _NOT_VALID + "dead letter routing key"),
    "dead-letter-strategy": (
        _one_of("at-most-once", "at-least-once"),
        _NOT_VALID + "dead letter strategy",
    ),
    "delayed-retry-max": (_integer(1), _NOT_VALID + "delayed retry maximum"),
    "delayed-retry-min": (_integer(1), _NOT_VALID + "delayed retry minimum"),
    "delayed-retry-multiplier": (_integer(1), _NOT_VALID + "delayed retry multiplier"),
    "delayed-retry-type": (_one_of(*RETRY_TYPES), _NOT_VALID + "delayed retry type"),
    "delivery-limit": (_integer(0), _NOT_VALID + "delivery limit"),
    "expires": (_integer(1), _NOT_VALID + "queue expiry"),
    "initial-cluster-size": (_integer(0), _NOT_VALID + "cluster size"),
    "max-age": (is_max_age, _NOT_VALID + "max age"),
    "max-in-memory-bytes": _IN_MEMORY,
    "max-in-memory-length": _IN_MEMORY,
    "max-length": (_integer(0), _NOT_VALID + "maximum length"),
    "max-length-bytes": (_integer(0), _NOT_VALID + "maximum length in bytes"),
    "message-ttl": (_integer(0), _NOT_VALID + "message TTL"),
    "overflow": (
        _one_of("drop-head", "reject-publish", "reject-publish-dlx"),
        _NOT_VALID + "overflow value",
    ),
    "queue-leader-locator": (
        _one_of("client-local", "random", "least-leaders", "balanced"),
        _NOT_VALID + "queue leader locator value",
    ),
    "queue-master-locator": (
        _one_of("min-masters", "client-local", "random"),
        "{} invalid queue-master-locator value",
    ),
    "queue-mode": (_one_of("default", "lazy"), _NOT_VALID + "queue-mode value"),
    "queue-version": (_one_of(1, 2), _NOT_VALID + "queue-version value"),
    "stream-max-segment-size-bytes": (
        _integer(0, SEGMENT_SIZE_MAX),
        _NOT_VALID + "segment size",
    ),
    "ha-mode": (_one_of("all", "exactly", "nodes"), _NOT_VALID + "ha-mode value"),
    "ha-params": (
        lambda value: isinstance(value, list) or _integer(1)(value),
        _NOT_VALID + "ha-params value",
    ),
    "ha-sync-mode": (
        _one_of("manual", "automatic"),
        'ha-sync-mode must be "manual" or "automatic", got {}',
    ),
    "ha-sync-batch-size": (
        _integer(1),
        "ha-sync-batch-size takes an integer greater than 0, {} given",
    ),
    "ha-promote-on-shutdown": (
        _one_of("always", "when-synced"),
        'ha-promote-on-shutdown must be "always" or "when-synced", got {}',
    ),
    "ha-promote-on-failure": (
        _one_of("always", "when-synced"),
        'ha-promote-on-failure must be "always" or "when-synced", got {}',
    ),
}
"""Key → what its value must be, and what is said if it is not."""
_OPERATOR_KEYS: Final = frozenset(
    {
        "delivery-limit",
        "expires",
        "max-in-memory-bytes",
        "max-in-memory-length",
        "max-length",
        "max-length-bytes",
        "message-ttl",
    }
)


def check_policy(
    name: str, values: Mapping[str, Any], definition: Mapping[str, Any], *, is_operator: bool
) -> Policy:
    """Return a policy of what a client sent; ``values`` holds pattern, priority and apply-to.

    Raises :class:`InvalidPolicy`.
    """
    pattern = values.get("pattern")
    priority = values.get("priority", 0)
    apply_to = values.get("apply-to", "all")
    mistakes = [
        _wrong_definition(definition, is_operator=is_operator),
        _wrong_apply_to(apply_to),
        _wrong_pattern(pattern),
        _wrong_priority(priority),
    ]
    found = [mistake for mistake in mistakes if mistake is not None]
    if found:
        raise InvalidPolicy("\n".join(found))
    return Policy(name, str(pattern), definition, priority, apply_to)


def unknown_settings(definition: Mapping[str, Any], *, is_operator: bool) -> dict[str, Any]:
    """Return those of a definition's settings that policies of a kind do not have."""
    known = _OPERATOR_KEYS if is_operator else _CHECKS.keys()
    return {key: value for key, value in sorted(definition.items()) if key not in known}


def _wrong_definition(definition: Mapping[str, Any], *, is_operator: bool) -> str | None:
    if not definition:
        return "no policy provided"
    unknown = unknown_settings(definition, is_operator=is_operator)
    for key, value in sorted(definition.items()):
        if key not in unknown:
            check, wrong = _CHECKS[key]
            if not check(value):
                return wrong.format(_term(value))
    if unknown:
        return f"{_pairs(unknown)} are not recognised policy settings"
    return _wrong_mirroring(definition)


def _wrong_mirroring(definition: Mapping[str, Any]) -> str | None:
    mode = definition.get("ha-mode")
    if mode is None and any(key.startswith("ha-") for key in definition):
        return (
            "ha-mode must be specified to specify ha-params, ha-sync-mode or ha-promote-on-shutdown"
        )
    params = definition.get("ha-params")
    if mode == "exactly" and not isinstance(params, int):
        return f'ha-mode="exactly" takes an integer, {_given(params)} given'
    if mode == "nodes" and not isinstance(params, list):
        return f'ha-mode="nodes" takes a list of strings, {_given(params)} given'
    return None


def _given(value: Any) -> str:
    return "none" if value is None else _term(value)


def _wrong_apply_to(value: Any) -> str | None:
    if value in APPLY_TO:
        return None
    return (
        f"apply-to '{value}' unrecognised; should be one of: 'queues', 'classic_queues', "
        "'quorum_queues', 'streams', 'exchanges', or 'all'"
    )


def _wrong_pattern(pattern: Any) -> str | None:
    if not isinstance(pattern, str):
        return f"pattern should be a binary but was {_term(pattern)}"
    try:
        compile_regexp(pattern)
    except InvalidRegexp as error:
        return f"pattern should be regular expression but is invalid: {error.reason}"
    return None


def _wrong_priority(value: Any) -> str | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and _PRIORITIES.start <= value < _PRIORITIES.stop:
        return None
    return f"priority should be a number, actually was {_term(value)}"


def _term(value: Any) -> str:
    """Return a value of JSON as Erlang prints it."""
    if isinstance(value, str):
        return print_key(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"[{','.join(map(_term, value))}]"
    if isinstance(value, dict):
        return f"#{{{','.join(f'{_term(k)} => {_term(v)}' for k, v in value.items())}}}"
    return str(value)


def _pairs(values: Mapping[str, Any]) -> str:
    return f"[{','.join(f'{{{_term(key)},{_term(value)}}}' for key, value in values.items())}]"
