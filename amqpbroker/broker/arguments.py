"""Arguments of queue.declare and basic.consume: which are valid, and when two sets are the same.

Unknown arguments are ignored (T21); one that belongs to another queue type is refused (FEATURES
A8.7). Integers are compared by value, not by width (T20). The texts are RabbitMQ's, Erlang terms
and all, because people search for them (A8.6, T29).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from amqpbroker.errors import precondition_failed
from amqpbroker.wire.table import KIND_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from amqpbroker.errors import SoftError
    from amqpbroker.wire.table import Field, Table

    Check = Callable[[Field, Table], str | None]
    """Returns what is wrong as RabbitMQ prints it, None if nothing is."""

EXPIRY_MS_MAX: Final = 315_360_000_000
"""Ten years: the longest TTL, x-expires and expiration."""
AGE_MS_MAX: Final = 10**15
"""Some 30,000 years: ages beyond are the same, and what is calculated with them fits everywhere."""
_AGE_DIGITS_MAX: Final = 15
PRIORITY_MAX: Final = 255
PARTITION_COUNT_MAX: Final = 1024
"""Each takes a kilobyte, and when consumers come and go all of them are looked at."""
SEGMENT_SIZE_MAX: Final = 3_000_000_000
"""Bytes of a segment of a stream that may be asked for."""
FILTER_SIZES: Final = range(16, 256)
"""Bytes of RabbitMQ's filter in a chunk of a stream; ours is exact and needs none."""
DEFAULT_QUEUE_TYPE: Final = "classic"
INTEGERS: Final = frozenset("bBsuIil")
_FLOATS: Final = frozenset("fd")
_CLASSES: Final = dict.fromkeys(INTEGERS, "int") | {"f": "float", "d": "float"}


def _integer(field: Field) -> str | None:
    if field.kind in INTEGERS:
        return None
    return f'"expected integer, got {KIND_NAMES[field.kind]}"'


def _unacceptable(field: Field) -> str:
    return f"{{unacceptable_type,{KIND_NAMES[field.kind]}}}"


def _check_integer(field: Field, _table: Table) -> str | None:
    return _integer(field)


def _check_not_negative(field: Field, _table: Table) -> str | None:
    wrong = _integer(field)
    if wrong is None and field.value < 0:
        return f"{{value_negative,{field.value}}}"
    return wrong


def _check_positive(field: Field, table: Table) -> str | None:
    wrong = _check_not_negative(field, table)
    if wrong is None and field.value == 0:
        return "{value_zero,0}"
    return wrong


def number_of(field: tuple[str, Any] | None) -> int | None:
    """Return an integer from what RabbitMQ's plugins take for one: floats and digits too."""
    if field is None:
        return None
    kind, value = field
    if kind in INTEGERS:
        return int(value)
    try:
        return int(value) if kind in _FLOATS or kind == "S" else None
    except (ValueError, OverflowError):
        return None


def _check_count(field: Field, _table: Table) -> str | None:
    number = number_of(field)
    if number is None:
        return _integer(field)
    return None if number > 0 else f"{{value_not_positive,{number}}}"


def _check_retry(field: Field, table: Table) -> str | None:
    for other in ("x-message-groups", "x-partitions"):
        if other in table:  # who waits must not be overtaken, and may not hold the others up
            return f"\"not together with '{other}'\""
    return _check_expires(field, table)


def real_of(field: tuple[str, Any]) -> float | None:
    """Return a number from any kind that may hold one; pika writes decimals and text only."""
    kind, value = field
    if kind == "D":
        scale, unscaled = value
        return float(unscaled / 10**scale)
    try:
        return float(value) if kind in INTEGERS | _FLOATS or kind == "S" else None
    except ValueError:
        return None


def _check_multiplier(field: Field, _table: Table) -> str | None:
    value = real_of(field)
    if value is None:
        return _integer(field) or "not_a_number"
    return None if value >= 1 else f"{{value_too_small,{value}}}"


def _check_share(field: Field, _table: Table) -> str | None:
    value = real_of(field)
    if value is None:
        return _integer(field) or "not_a_number"
    return None if 0 <= value <= 1 else f"{{value_out_of_range,{value}}}"


def _check_ttl(field: Field, table: Table) -> str | None:
    return _check_not_negative(field, table) or expiry_error(field.value)


def _check_expires(field: Field, table: Table) -> str | None:
    return _check_positive(field, table) or expiry_error(field.value)


def expiry_error(value: int) -> str | None:
    """Return what is wrong with a time in milliseconds, None if nothing is."""
    if value < 0:
        return f"{{value_negative,{value}}}"
    if value > EXPIRY_MS_MAX:
        return f"{{value_too_large,{value}}}"
    return None


def _check_priority(field: Field, table: Table) -> str | None:
    wrong = _check_not_negative(field, table)
    if wrong is None and field.value > PRIORITY_MAX:
        return f"{{max_value_exceeded,{field.value}}}"
    return wrong


def _check_bool(field: Field, _table: Table) -> str | None:
    return None if field.kind == "t" else _unacceptable(field)


def _check_groups(field: Field, table: Table) -> str | None:
    return _check_bool(field, table) or _not_with(table, "x-max-priority")


def _check_sticky(field: Field, table: Table) -> str | None:
    wrong = _check_bool(field, table) or _not_with(table, "x-single-active-consumer")
    if wrong is None and "x-message-groups" not in table:
        wrong = "not possible without 'x-message-groups'"
    return wrong


def _check_partitions(field: Field, table: Table) -> str | None:
    wrong = _check_positive(field, table)
    if wrong is None and field.value > PARTITION_COUNT_MAX:
        wrong = f"{{max_value_exceeded,{field.value}}}"
    others = ("x-max-priority", "x-single-active-consumer", "x-message-groups")
    return wrong or _not_with(table, *others)


def _not_with(table: Table, *others: str) -> str | None:
    """Return that an argument cannot be in force with one of ``others``, if one is there."""
    found = next((name for name in others if name in table), None)
    return None if found is None else f"not possible with '{found}'"


def _check_text(field: Field, _table: Table) -> str | None:
    return None if field.kind == "S" else _unacceptable(field)


def _check_dead_letter_key(field: Field, table: Table) -> str | None:
    if field.kind == "S" and "x-dead-letter-exchange" not in table:
        return "routing_key_but_no_dlx_defined"
    return _check_text(field, table)


def _one_of(values: tuple[bytes, ...], wrong: str) -> Check:
    def check(field: Field, table: Table) -> str | None:
        problem = _check_text(field, table)
        if problem is None and field.value not in values:
            return wrong.format(_text(field.value))
        return problem

    return check


def _check_version(field: Field, table: Table) -> str | None:
    wrong = _check_not_negative(field, table)
    if wrong is None and field.value not in (1, 2):
        return f"\"unsupported queue version '{field.value}'\""
    return wrong


def _check_max_age(field: Field, table: Table) -> str | None:
    wrong = _check_text(field, table)
    if wrong is None and not is_max_age(_text(field.value)):
        return "invalid_max_age"
    return wrong


def is_max_age(value: object) -> bool:
    """Return whether a value is an age of a stream: ``7D`` or the like."""
    return isinstance(value, str) and bool(re.fullmatch("0*[1-9][0-9]*[YMDhms]", value))


def age_ms(value: str) -> int:
    """Return the milliseconds of an age of a stream; one can be written that no time reaches."""
    digits = value[:-1].lstrip("0")
    if len(digits) > _AGE_DIGITS_MAX:
        return AGE_MS_MAX
    return min(int(digits) * _AGE_UNITS_S[value[-1]] * 1000, AGE_MS_MAX)


def _check_segment_size(field: Field, table: Table) -> str | None:
    wrong = _check_not_negative(field, table)
    if wrong is None and field.value > SEGMENT_SIZE_MAX:
        raise precondition_failed("Exceeded max value for x-stream-max-segment-size-bytes")
    return wrong


def _check_filter_size(field: Field, table: Table) -> str | None:
    wrong = _check_not_negative(field, table)
    if wrong is None and field.value not in FILTER_SIZES:
        raise precondition_failed("Invalid value for  x-stream-filter-size-bytes")
    return wrong


_AGE_UNITS_S: Final = {
    "Y": 365 * 86400, "M": 30 * 86400, "D": 86400, "h": 3600, "m": 60, "s": 1
}  # fmt: skip
_OVERFLOWS: Final = (b"drop-head", b"reject-publish", b"reject-publish-dlx")
_LOCATORS: Final = (b"client-local", b"random", b"least-leaders", b"balanced")
RETRY_TYPES: Final = ("disabled", "all", "failed", "returned")
_DECLARE: Final[dict[str, Check]] = {
    "x-expires": _check_expires,
    "x-message-ttl": _check_ttl,
    "x-dead-letter-exchange": _check_text,
    "x-dead-letter-routing-key": _check_dead_letter_key,
    "x-dead-letter-strategy": _one_of((b"at-most-once", b"at-least-once"), "invalid_dlx_strategy"),
    "x-max-length": _check_not_negative,
    "x-max-length-bytes": _check_not_negative,
    "x-max-in-memory-length": _check_not_negative,
    "x-max-in-memory-bytes": _check_not_negative,
    "x-max-priority": _check_priority,
    "x-overflow": _one_of(_OVERFLOWS, "invalid_overflow"),
    "x-queue-mode": _one_of((b"default", b"lazy"), "\"unsupported queue mode '{}'\""),
    "x-queue-version": _check_version,
    "x-single-active-consumer": _check_bool,
    "x-quorum-initial-group-size": _check_positive,
    "x-max-age": _check_max_age,
    "x-stream-max-segment-size-bytes": _check_segment_size,
    "x-stream-filter-size-bytes": _check_filter_size,
    "x-initial-cluster-size": _check_positive,
    "x-queue-leader-locator": _one_of(_LOCATORS, "invalid_queue_locator_arg"),
    "x-delivery-limit": _check_integer,
    "x-ack-deadline": _check_expires,
    "x-consumer-timeout": _check_expires,
    "x-delayed-retry-min": _check_retry,
    "x-delayed-retry-max": _check_expires,
    "x-delayed-retry-multiplier": _check_multiplier,
    "x-delayed-retry-jitter": _check_share,
    "x-delayed-retry-type": _one_of(
        tuple(name.encode() for name in RETRY_TYPES), "invalid_delayed_retry_type"
    ),
    "x-message-deduplication": _check_bool,
    "x-cache-size": _check_count,
    "x-cache-ttl": _check_count,
    "x-deduplication-header": _check_text,
    "x-content-based-deduplication": _check_bool,
    "x-message-groups": _check_groups,
    "x-sticky-groups": _check_sticky,
    "x-partitions": _check_partitions,
}
_CHECK_TYPE: Final = _one_of((b"classic", b"quorum", b"stream"), "\"unsupported queue type '{}'\"")
_DEDUPLICATION: Final = (
    *("x-message-deduplication", "x-cache-size", "x-cache-ttl"),
    *("x-deduplication-header", "x-content-based-deduplication"),
)
_RETRY: Final = (
    *("x-delayed-retry-min", "x-delayed-retry-max", "x-delayed-retry-multiplier"),
    *("x-delayed-retry-jitter", "x-delayed-retry-type"),
)
KNOWN: Final[dict[str, tuple[str, ...]]] = {
    "classic": (
        *("x-expires", "x-message-ttl", "x-dead-letter-exchange", "x-dead-letter-routing-key"),
        *("x-max-length", "x-max-length-bytes", "x-max-priority", "x-overflow"),
        *("x-queue-mode", "x-queue-version", "x-single-active-consumer", "x-queue-type"),
        *("x-queue-master-locator", "x-ack-deadline", "x-consumer-timeout", *_DEDUPLICATION),
        *("x-message-groups", "x-sticky-groups", "x-partitions", *_RETRY),
    ),
    "quorum": (
        *("x-dead-letter-exchange", "x-dead-letter-routing-key", "x-dead-letter-strategy"),
        *("x-expires", "x-max-length", "x-max-length-bytes", "x-max-in-memory-length"),
        *("x-max-in-memory-bytes", "x-overflow", "x-single-active-consumer", "x-queue-type"),
        *("x-quorum-initial-group-size", "x-delivery-limit", "x-message-ttl"),
        *("x-queue-leader-locator", "x-ack-deadline", "x-consumer-timeout", *_DEDUPLICATION),
        *_RETRY,
    ),
    "stream": (
        *("x-max-length-bytes", "x-queue-type", "x-max-age", "x-stream-max-segment-size-bytes"),
        *("x-initial-cluster-size", "x-queue-leader-locator", "x-stream-filter-size-bytes"),
    ),
}
"""Queue type → the arguments that it knows and compares: in RabbitMQ's order, then ours."""
_KNOWN_TO_ANY: Final = frozenset().union(*KNOWN.values())
_CONSUME: Final[dict[str, Check]] = {
    "x-priority": _check_integer,
    "x-ack-deadline": _check_expires,
    "x-consumer-timeout": _check_expires,
}
_CONSUME_ONLY: Final[dict[str, dict[str, Check]]] = {
    "classic": {"x-cancel-on-ha-failover": _check_bool},
    "quorum": {},
}
"""Queue type → what its consumers may say besides."""
_CONSUME_OF_ANY: Final = ("x-cancel-on-ha-failover", "x-stream-offset")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _refuse(name: str, where: str, wrong: str) -> SoftError:
    return precondition_failed(f"invalid arg '{name}' for {where}: {wrong}")


def queue_type(table: Table) -> str:
    """Return the queue type that arguments ask for."""
    field = table.get("x-queue-type")
    return DEFAULT_QUEUE_TYPE if field is None or field.kind != "S" else _text(field.value)


def known_arguments(table: Table) -> tuple[str, ...]:
    """Return which arguments a queue with these knows and compares."""
    known = KNOWN[queue_type(table)]
    if "x-delayed-retry-min" in table and "x-delivery-limit" not in known:
        return (*known, "x-delivery-limit")  # RabbitMQ's classic queues refuse it
    return known


def check_declare(table: Table, where: str) -> None:
    """Check the arguments of a new queue; ``where`` is its description.

    Raises :class:`~amqpbroker.errors.SoftError` 406.
    """
    _check(table, where, {"x-queue-type": _CHECK_TYPE})
    kind = queue_type(table)
    known = known_arguments(table)
    _check(table, where, {name: check for name, check in _DECLARE.items() if name in known})
    for name in table:
        if name in _KNOWN_TO_ANY and name not in known:
            text = f"invalid arg '{name}' for {where} of queue type rabbit_{kind}_queue"
            raise precondition_failed(text)


def check_server_named(table: Table) -> None:
    """Only classic queues can be named by the server (FEATURES A4.3).

    Raises :class:`~amqpbroker.errors.SoftError` 406.
    """
    kind = queue_type(table)
    if kind in ("quorum", "stream"):
        raise precondition_failed(
            f"Cannot declare a server-named queue for type rabbit_{kind}_queue"
        )


def check_replicated(
    where: str, *, is_auto_delete: bool, is_exclusive: bool, is_durable: bool
) -> None:
    """Check the properties of a quorum queue or stream (FEATURES A8.8).

    Raises :class:`~amqpbroker.errors.SoftError` 406.
    """
    wrong = {"auto-delete": is_auto_delete, "exclusive-owner": is_exclusive}
    wrong["non-durable"] = not is_durable
    for name, is_wrong in wrong.items():
        if is_wrong:
            raise precondition_failed(f"invalid property '{name}' for {where}")


def check_consume(table: Table, where: str, kind: str = DEFAULT_QUEUE_TYPE) -> None:
    """Check the arguments of a new consumer of a queue of type ``kind``.

    Raises :class:`~amqpbroker.errors.SoftError` 406.
    """
    checks = _CONSUME | _CONSUME_ONLY[kind]
    _check(table, where, checks)
    for name in _CONSUME_OF_ANY:
        if name in table and name not in checks:
            text = f"invalid arg '{name}' for {where} of queue type rabbit_{kind}_queue"
            raise precondition_failed(text)


def _check(table: Table, where: str, checks: Mapping[str, Check]) -> None:
    for name, check in checks.items():
        field = table.get(name)
        wrong = None if field is None else check(field, table)
        if wrong is not None:
            raise _refuse(name, where, wrong)


def atom(name: str) -> str:
    """Return a name as Erlang prints an atom: in quotes unless it is a plain word."""
    return name if re.fullmatch("[a-z][A-Za-z0-9_@]*", name) else f"'{name}'"


def check_same(name: str, where: str, current: object, received: object) -> None:
    """Compare a property or a bare argument value of a redeclare.

    Raises :class:`~amqpbroker.errors.SoftError` 406 (FEATURES A3.1, A4.1).
    """
    if current != received:
        text = f"received {_bare(received)} but current is {_bare(current)}"
        raise precondition_failed(f"inequivalent arg '{name}' for {where}: {text}")


def check_same_arguments(
    names: Iterable[str],
    where: str,
    current: Mapping[str, tuple[str, Any]],
    received: Mapping[str, tuple[str, Any]],
) -> None:
    """Compare those of the arguments that count.

    Raises :class:`~amqpbroker.errors.SoftError` 406.
    """
    for name in names:
        old, new = current.get(name), received.get(name)
        if old is not None and new is not None:
            if _class(old) != _class(new) or old[1] != new[1]:
                text = f"received {_bare(new[1])} but current is {_bare(old[1])}"
                raise precondition_failed(f"inequivalent arg '{name}' for {where}: {text}")
        elif old != new and not _is_default_type(name, old or new):
            text = f"received {_typed(new)} but current is {_typed(old)}"
            raise precondition_failed(f"inequivalent arg '{name}' for {where}: {text}")


def _class(field: tuple[str, Any]) -> str:
    return _CLASSES.get(field[0], field[0])


def _is_default_type(name: str, field: tuple[str, Any] | None) -> bool:
    return name == "x-queue-type" and field is not None and field[1] == b"classic"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "undefined"
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def _bare(value: object) -> str:
    return "none" if value is None else f"'{_plain(value)}'"


def _typed(field: tuple[str, Any] | None) -> str:
    if field is None:
        return "none"
    kind, value = field
    return f"the value '{_plain(value)}' of type '{KIND_NAMES[kind]}'"
