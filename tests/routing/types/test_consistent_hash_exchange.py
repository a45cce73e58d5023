"""The consistent hash exchange: one queue, by weight, the same one every time."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from amqpbroker.errors import SoftError
from amqpbroker.routing.hashing import hash64
from tests.routing.samples import PlainMessage, exchange_of, queues_of, to_exchange, to_queue

if TYPE_CHECKING:
    from amqpbroker.routing.binding import Destination
    from amqpbroker.routing.exchange import Exchange

KEYS = [f"key.{number}" for number in range(3000)]


def ring(*weights: tuple[str, str], **arguments: tuple[str, Any]) -> Exchange:
    table = {name.replace("_", "-"): value for name, value in arguments.items()}
    bindings = [to_queue(name, weight) for name, weight in weights]
    return exchange_of("x-consistent-hash", *bindings, arguments=table)


def mapping(exchange: Exchange) -> dict[str, str]:
    return {key: queues_of(exchange, PlainMessage(key))[0] for key in KEYS}


def test_no_binding_no_destination() -> None:
    assert queues_of(ring(), PlainMessage("k")) == []


def test_the_messages_are_shared_out_by_weight() -> None:
    counts = Counter(mapping(ring(("a", "1"), ("b", "2"), ("c", "3"))).values())
    for name, share in (("a", 1 / 6), ("b", 2 / 6), ("c", 3 / 6)):
        assert counts[name] / len(KEYS) == pytest.approx(share, rel=0.25)


def test_one_queue_gets_everything() -> None:
    assert set(mapping(ring(("a", "7"))).values()) == {"a"}


def test_the_map_does_not_depend_on_the_order_of_the_bindings() -> None:
    assert mapping(ring(("a", "1"), ("b", "2"))) == mapping(ring(("b", "2"), ("a", "1")))


def test_the_map_is_the_same_in_every_process() -> None:
    exchange = ring(("a", "1"), ("b", "1"), ("c", "1"))
    found = [
        queues_of(exchange, PlainMessage(key))[0] for key in ("", "k", "key.1", "x\udcff", "é")
    ]
    assert found == ["a", "b", "a", "a", "a"]


def test_binding_again_brings_the_old_map_back() -> None:
    exchange = ring(("a", "1"), ("b", "1"), ("c", "1"))
    before = mapping(exchange)
    exchange.unbind(to_queue("b", "1"))
    exchange.bind(to_queue("b", "1"))
    assert mapping(exchange) == before


def test_taking_a_queue_away_moves_only_its_own_messages() -> None:
    exchange = ring(("a", "1"), ("b", "1"), ("c", "1"))
    before = mapping(exchange)
    exchange.unbind(to_queue("b", "1"))
    after = mapping(exchange)
    assert {key for key in KEYS if before[key] != after[key]} == {
        key for key in KEYS if before[key] == "b"
    }


def test_a_message_goes_to_the_first_point_at_or_after_its_hash() -> None:
    exchange = ring(("a", "2"), ("b", "1"))
    queues_of(exchange, PlainMessage("k"))
    ring_points: list[int] = exchange._points  # type: ignore[attr-defined]
    owners: list[Destination] = exchange._owners  # type: ignore[attr-defined]
    places = list(zip(ring_points, owners, strict=True))
    assert places == sorted(places)
    assert Counter(owner.name for owner in owners) == {"a": 256, "b": 128}
    for key in KEYS:
        ahead = [owner for point, owner in places if point >= hash64(key.encode())]
        assert queues_of(exchange, PlainMessage(key)) == [(ahead or owners)[0].name]


def test_huge_weights_keep_the_ring_small() -> None:
    exchange = ring(*((f"q{number}", "10000") for number in range(20)))
    assert len(set(mapping(exchange).values())) == 20
    assert len(exchange._points) <= 65_536  # type: ignore[attr-defined]


def test_a_queue_counts_once_with_the_weight_of_its_oldest_binding() -> None:
    assert mapping(ring(("a", "1"), ("a", "9"), ("b", "1"))) == mapping(
        ring(("a", "1"), ("b", "1"))
    )


def test_unbinding_the_second_binding_of_a_queue_keeps_the_queue() -> None:
    """RabbitMQ takes the queue off the ring, though a binding is left."""
    exchange = ring(("a", "1"), ("b", "1"), ("a", "3"))
    exchange.unbind(to_queue("a", "3"))
    assert mapping(exchange) == mapping(ring(("a", "1"), ("b", "1")))


def test_extra_keys_do_not_count() -> None:
    exchange = ring(("a", "1"), ("b", "1"), ("c", "1"))
    for key in KEYS[:50]:
        plain = queues_of(exchange, PlainMessage(key))
        assert queues_of(exchange, PlainMessage(key, extra_keys=KEYS[50:70])) == plain


def test_exchanges_stand_on_the_ring_too() -> None:
    exchange = exchange_of("x-consistent-hash", to_exchange("f", "1"))
    fanout = exchange_of("fanout", to_queue("q"), name="f")
    assert queues_of(exchange, PlainMessage("k"), [fanout]) == ["q"]


def test_hash_header_takes_the_place_of_the_routing_key() -> None:
    exchange = ring(("a", "1"), ("b", "1"), ("c", "1"), hash_header=("S", b"id"))
    found = set()
    for number in range(50):
        by_width = [
            queues_of(exchange, PlainMessage(key, headers={"id": (kind, number)}))[0]
            for key, kind in (("k", "I"), ("other", "l"))
        ]
        assert len(set(by_width)) == 1
        found.update(by_width)
    assert found == {"a", "b", "c"}


def test_messages_without_the_header_go_to_one_queue() -> None:
    exchange = ring(("a", "1"), ("b", "1"), ("c", "1"), hash_header=("S", b"id"))
    assert len({queues_of(exchange, PlainMessage(key))[0] for key in KEYS[:50]}) == 1


@pytest.mark.parametrize("name", ["message_id", "correlation_id", "timestamp"])
def test_hash_property_takes_the_place_of_the_routing_key(name: str) -> None:
    exchange = ring(("a", "1"), ("b", "1"), ("c", "1"), hash_property=("S", name.encode()))
    assert len({queues_of(exchange, PlainMessage(key))[0] for key in KEYS[:50]}) == 1
    messages = [PlainMessage("k", properties={name: number}) for number in range(50)]
    assert {queues_of(exchange, message)[0] for message in messages} == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"hash_header": ("S", b"a"), "hash_property": ("S", b"message_id")},
            "hash-header and hash-property are mutually exclusive",
        ),
        ({"hash_property": ("S", b"app_id")}, "Unsupported property: app_id"),
        (
            {"hash_header": ("I", 1)},
            "invalid type 'signedint' for arg 'hash-header' in exchange 'x' in vhost '/'",
        ),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, tuple[str, Any]], text: str) -> None:
    """In RabbitMQ's words; but it answers a hash argument of a wrong type with a bare 541."""
    with pytest.raises(SoftError) as caught:
        ring(**arguments)
    assert caught.value.reply_text == f"PRECONDITION_FAILED - {text}"


@pytest.mark.parametrize(
    ("binding_key", "text"),
    [
        ("", "be an integer: <<>>"),
        ("x", 'be an integer: <<"x">>'),
        (" 5", 'be an integer: <<" 5">>'),
        ("1.5", 'be an integer: <<"1.5">>'),
        ("1_0", 'be an integer: <<"1_0">>'),
        ("\u0665", 'be an integer: <<"\u0665">>'),
        ("0", "be greater than 0"),
        ("-1", "be greater than 0"),
        ("10001", "not exceed 10000"),
    ],
)
def test_a_bad_weight_is_refused_in_rabbitmqs_words(binding_key: str, text: str) -> None:
    with pytest.raises(SoftError) as caught:
        ring().check_binding(to_queue("q", binding_key))
    assert caught.value.reply_text == f"PRECONDITION_FAILED - The binding key must {text}"


@pytest.mark.parametrize("binding_key", ["1", "+5", "007", "10000"])
def test_a_good_weight_is_taken(binding_key: str) -> None:
    ring().check_binding(to_queue("q", binding_key))
