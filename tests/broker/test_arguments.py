"""Arguments of queues and consumers: what is refused, with RabbitMQ 3.10.8's own texts.

The texts were compared with a running RabbitMQ 3.10.8 for every argument and some thirty values.
"""

from __future__ import annotations

from typing import Any

import pytest

from amqpbroker.broker.arguments import (
    KNOWN,
    atom,
    check_consume,
    check_declare,
    check_same,
    check_same_arguments,
    expiry_error,
    known_arguments,
    number_of,
    queue_type,
    real_of,
)
from amqpbroker.errors import SoftError
from amqpbroker.wire.table import Field

WHERE = "queue 'q' in vhost '/'"

NOT_NEGATIVE = {"x-max-length", "x-max-length-bytes"}
TIMES = {"x-message-ttl", "x-expires"}
QUORUM_NUMBERS = {"x-max-in-memory-length", "x-max-in-memory-bytes"}
TEXTS = {
    "x-overflow": "invalid_overflow",
    "x-queue-mode": "\"unsupported queue mode 'x'\"",
    "x-queue-type": "\"unsupported queue type 'x'\"",
}

Value = tuple[str, Any]


def refused(name: str, value: Value, kind: str = "classic") -> str | None:
    """Return what check_declare finds wrong with one argument."""
    table = {name: Field(*value)}
    if kind != "classic":
        table["x-queue-type"] = Field("S", kind.encode())
    return wrong(check_declare, table, f"invalid arg '{name}' for {WHERE}: ")


def wrong(check: Any, table: dict[str, Field], start: str) -> str | None:
    """Return what a 406 says after ``start``, None if there is no error."""
    return explained(start, check, table, WHERE)


def explained(start: str, check: Any, *arguments: Any) -> str | None:
    try:
        check(*arguments)
    except SoftError as error:
        code, text = error.args
    else:
        return None
    assert code == 406
    assert text.startswith(start)
    return str(text.removeprefix(start))


@pytest.mark.parametrize("name", sorted(NOT_NEGATIVE | TIMES | {"x-max-priority"}))
def test_numbers(name: str) -> None:
    assert refused(name, ("I", 1)) is None
    assert refused(name, ("l", -5)) == "{value_negative,-5}"
    assert refused(name, ("S", b"1")) == '"expected integer, got longstr"'
    assert refused(name, ("t", True)) == '"expected integer, got bool"'
    assert refused(name, ("d", 1.0)) == '"expected integer, got double"'


@pytest.mark.parametrize("kind", list("bBsuIil"))
def test_an_integer_may_have_any_width(kind: str) -> None:
    assert refused("x-max-length", (kind, 9)) is None


@pytest.mark.parametrize("name", sorted(TIMES))
def test_times_end_after_ten_years(name: str) -> None:
    assert refused(name, ("l", 315_360_000_000)) is None
    assert refused(name, ("l", 315_360_000_001)) == "{value_too_large,315360000001}"


def test_zero_expires_never_but_may_be_a_ttl() -> None:
    assert refused("x-expires", ("I", 0)) == "{value_zero,0}"
    assert refused("x-message-ttl", ("I", 0)) is None


def test_priorities_end_at_255() -> None:
    assert refused("x-max-priority", ("I", 255)) is None
    assert refused("x-max-priority", ("I", 256)) == "{max_value_exceeded,256}"


@pytest.mark.parametrize(("name", "text"), TEXTS.items())
def test_words(name: str, text: str) -> None:
    assert refused(name, ("S", b"x")) == text
    assert refused(name, ("I", 1)) == "{unacceptable_type,signedint}"


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("x-overflow", "drop-head"),
        ("x-overflow", "reject-publish"),
        ("x-overflow", "reject-publish-dlx"),
        ("x-queue-mode", "lazy"),
        ("x-queue-mode", "default"),
        ("x-queue-type", "classic"),
        ("x-queue-type", "quorum"),
        ("x-queue-type", "stream"),
    ],
)
def test_known_words(name: str, word: str) -> None:
    assert refused(name, ("S", word.encode())) is None


def test_versions() -> None:
    assert refused("x-queue-version", ("I", 2)) is None
    assert refused("x-queue-version", ("I", 3)) == "\"unsupported queue version '3'\""
    assert refused("x-queue-version", ("S", b"2")) == '"expected integer, got longstr"'


def test_single_active_consumer_is_a_boolean() -> None:
    assert refused("x-single-active-consumer", ("t", False)) is None
    assert refused("x-single-active-consumer", ("I", 1)) == "{unacceptable_type,signedint}"


def test_a_dead_letter_key_needs_an_exchange() -> None:
    name = "x-dead-letter-routing-key"
    assert refused(name, ("S", b"k")) == "routing_key_but_no_dlx_defined"
    assert refused(name, ("I", 1)) == "{unacceptable_type,signedint}"
    both = {name: Field("S", b"k"), "x-dead-letter-exchange": Field("S", b"x")}
    check_declare(both, WHERE)


@pytest.mark.parametrize("name", sorted(QUORUM_NUMBERS))
def test_numbers_of_quorum_queues(name: str) -> None:
    assert refused(name, ("I", -1), "quorum") == "{value_negative,-1}"


@pytest.mark.parametrize("name", ["x-quorum-initial-group-size"])
def test_group_sizes(name: str) -> None:
    assert refused(name, ("I", 0), "quorum") == "{value_zero,0}"


def test_words_of_quorum_and_stream_queues() -> None:
    assert refused("x-dead-letter-strategy", ("S", b"x"), "quorum") == "invalid_dlx_strategy"
    assert refused("x-queue-leader-locator", ("S", b"x"), "quorum") == "invalid_queue_locator_arg"
    assert refused("x-delivery-limit", ("S", b"x"), "quorum") == '"expected integer, got longstr"'
    assert refused("x-max-age", ("S", b"0D"), "stream") == "invalid_max_age"
    assert refused("x-max-age", ("S", b"7D"), "stream") is None
    assert refused("x-stream-max-segment-size-bytes", ("I", -1), "stream") == "{value_negative,-1}"
    assert refused("x-initial-cluster-size", ("I", 0), "stream") == "{value_zero,0}"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("x-max-age", "classic"),
        ("x-delivery-limit", "classic"),
        ("x-queue-leader-locator", "classic"),
        ("x-max-priority", "quorum"),
        ("x-queue-mode", "quorum"),
        ("x-message-ttl", "stream"),
    ],
)
def test_an_argument_of_another_queue_type_is_refused(name: str, kind: str) -> None:
    table = {"x-queue-type": Field("S", kind.encode()), name: Field("V", None)}
    text = f"invalid arg '{name}' for {WHERE} of queue type rabbit_{kind}_queue"
    assert wrong(check_declare, table, text) == ""


def test_unknown_arguments_are_ignored() -> None:
    assert refused("x-made-up", ("V", None)) is None


def test_a_queue_is_classic_unless_it_says_otherwise() -> None:
    assert queue_type({}) == "classic"
    assert queue_type({"x-queue-type": Field("S", b"quorum")}) == "quorum"


def test_arguments_of_consumers() -> None:
    start = f"invalid arg 'x-priority' for {WHERE}: "
    assert wrong(check_consume, {"x-priority": Field("I", -7)}, start) is None
    not_integer = wrong(check_consume, {"x-priority": Field("S", b"1")}, start)
    assert not_integer == '"expected integer, got longstr"'
    start = f"invalid arg 'x-cancel-on-ha-failover' for {WHERE}: "
    bad_type = wrong(check_consume, {"x-cancel-on-ha-failover": Field("I", 1)}, start)
    assert bad_type == "{unacceptable_type,signedint}"
    start = f"invalid arg 'x-stream-offset' for {WHERE} of queue type rabbit_classic_queue"
    assert wrong(check_consume, {"x-stream-offset": Field("S", b"first")}, start) == ""


def test_consumers_of_quorum_queues_have_a_priority_only() -> None:
    check_consume({"x-priority": Field("I", 1)}, WHERE, "quorum")
    for name in ("x-cancel-on-ha-failover", "x-stream-offset"):
        with pytest.raises(SoftError) as refused:
            check_consume({name: Field("t", True)}, WHERE, "quorum")
        text = f"invalid arg '{name}' for {WHERE} of queue type rabbit_quorum_queue"
        assert refused.value.explanation == text


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (0, None),
        (-1, "{value_negative,-1}"),
        (315_360_000_000, None),
        (315_360_000_001, "{value_too_large,315360000001}"),
    ],
)
def test_expiry(value: int, error: str | None) -> None:
    assert expiry_error(value) == error


@pytest.mark.parametrize(
    ("name", "printed"),
    [("fanout", "fanout"), ("x-random", "'x-random'"), ("a_b@1", "a_b@1"), ("Xy", "'Xy'")],
)
def test_atoms_are_quoted_where_erlang_quotes_them(name: str, printed: str) -> None:
    assert atom(name) == printed


def test_a_property_that_differs() -> None:
    check_same("durable", WHERE, True, True)
    text = f"inequivalent arg 'durable' for {WHERE}: received 'false' but current is 'true'"
    with pytest.raises(SoftError) as raised:
        check_same("durable", WHERE, True, False)
    assert raised.value.explanation == text


def differs(old: Value | None, new: Value | None, name: str = "x-max-length") -> str | None:
    """Return how two declares of ``name`` differ."""
    tables = [{} if value is None else {name: value} for value in (old, new)]
    start = f"inequivalent arg '{name}' for {WHERE}: "
    return explained(start, check_same_arguments, KNOWN["classic"], WHERE, *tables)


def test_arguments_that_differ() -> None:
    one, yes = "the value '1' of type 'signedint'", "the value 'true' of type 'bool'"
    assert differs(("I", 1), ("I", 2)) == "received '2' but current is '1'"
    assert differs(("S", b"a"), ("S", b"b")) == "received 'b' but current is 'a'"
    assert differs(("S", b"a"), ("S", b"\x80")) == "received '\udc80' but current is 'a'"
    assert differs(("S", b"a"), ("V", None)) == "received none but current is 'a'"
    assert differs(("I", 1), None) == f"received none but current is {one}"
    assert differs(None, ("t", True)) == f"received {yes} but current is none"


def test_arguments_that_are_the_same() -> None:
    assert differs(None, None) is None
    assert differs(("b", 5), ("l", 5)) is None
    assert differs(("f", 0.5), ("d", 0.5)) is None
    assert differs(None, ("S", b"classic"), "x-queue-type") is None
    assert differs(("I", 1), ("I", 2), "x-made-up") is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (("I", 2), 2),
        (("d", 1.5), 1.5),
        (("S", b"0.25"), 0.25),
        (("D", (2, 125)), 1.25),
        (("S", b"x"), None),
        (("t", True), None),
    ],
)
def test_fractions_come_in_any_kind(value: Value, expected: float | None) -> None:
    assert real_of(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(("I", 2), 2), (("d", 1.5), 1), (("S", b"7"), 7), (("S", b"x"), None), (("V", None), None)],
)
def test_integers_come_in_many_kinds(value: Value, expected: int | None) -> None:
    assert number_of(value) == expected
    assert number_of(None) is None


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("x-delayed-retry-min", ("I", 0), "{value_zero,0}"),
        ("x-delayed-retry-max", ("S", b"1"), '"expected integer, got longstr"'),
        ("x-delayed-retry-multiplier", ("I", 0), "{value_too_small,0.0}"),
        ("x-delayed-retry-multiplier", ("S", b"x"), '"expected integer, got longstr"'),
        ("x-delayed-retry-multiplier", ("d", float("nan")), "{value_too_small,nan}"),
        ("x-delayed-retry-jitter", ("d", 1.5), "{value_out_of_range,1.5}"),
        ("x-delayed-retry-jitter", ("t", True), '"expected integer, got bool"'),
        ("x-delayed-retry-type", ("S", b"x"), "invalid_delayed_retry_type"),
        ("x-cache-ttl", ("I", 0), "{value_not_positive,0}"),
        ("x-cache-size", ("S", b"many"), '"expected integer, got longstr"'),
        ("x-message-deduplication", ("S", b"true"), "{unacceptable_type,longstr}"),
    ],
)
@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_arguments_that_rabbitmq_does_not_have(
    name: str, value: Value, text: str, kind: str
) -> None:
    assert refused(name, value, kind) == text


@pytest.mark.parametrize("other", ["x-message-groups", "x-partitions"])
def test_retries_go_with_no_other_order(other: str) -> None:
    table = {"x-delayed-retry-min": Field("I", 1), other: Field("I", 2)}
    if other == "x-message-groups":
        table[other] = Field("t", True)
    start = f"invalid arg 'x-delayed-retry-min' for {WHERE}: "
    assert wrong(check_declare, table, start) == f"\"not together with '{other}'\""


def test_a_classic_queue_has_a_delivery_limit_if_it_retries() -> None:
    table = {"x-delivery-limit": Field("I", 1)}
    assert wrong(check_declare, table, "") is not None
    table["x-delayed-retry-min"] = Field("I", 1)
    assert wrong(check_declare, table, "") is None
    assert "x-delivery-limit" in known_arguments(table)
