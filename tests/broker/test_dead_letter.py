"""What is written on a dead letter, and where it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pamqp import commands

from amqpbroker.broker.dead_letter import COUNT_MAX, dead, deaths_of, is_cycle
from amqpbroker.broker.message import hide_keys
from amqpbroker.wire.content import Publication
from amqpbroker.wire.table import Field
from tests.amqp_bytes import properties

if TYPE_CHECKING:
    from tests.amqp_bytes import TypedTable
    from tests.broker.client import MemoryClient


def publication(routing_key: str = "key", **values: Any) -> Publication:
    return Publication.of("x", routing_key, values, 3)


def die(
    publication: Publication,
    reason: str = "expired",
    queue: str = "q",
    routing_key: str | None = None,
    time_s: int = 1000,
) -> Publication:
    return dead(publication, reason, queue, "dlx", routing_key=routing_key, time_s=time_s)


def text(value: str) -> tuple[str, bytes]:
    return "S", value.encode()


def keys(*values: str) -> Field:
    return Field("A", tuple(Field("S", value.encode()) for value in values))


def test_the_first_death_is_recorded() -> None:
    letter = die(publication(expiration="60000", message_id="m"))
    assert (letter.exchange, letter.routing_key, letter.body_size) == ("dlx", "key", 3)
    assert letter.properties["message_id"] == "m"
    assert "expiration" not in letter.properties
    ((kind, entry),) = deaths_of(letter.headers)
    assert kind == "F"
    assert list(entry.items()) == [
        ("original-expiration", text("60000")),
        ("count", ("l", 1)),
        ("reason", text("expired")),
        ("queue", text("q")),
        ("time", ("T", 1000)),
        ("exchange", text("x")),
        ("routing-keys", keys("key")),
    ]
    names = ["death-exchange", "death-queue", "death-reason"]
    headers = dict(letter.headers)
    del headers["x-death"]
    assert list(headers) == [f"x-{when}-{name}" for when in ("first", "last") for name in names]
    assert list(headers.values()) == [text("x"), text("q"), text("expired")] * 2


def test_headers_are_sorted_as_rabbitmq_does() -> None:
    letter = die(publication(headers={"z": Field("I", 1), "a": Field("I", 2)}))
    assert list(letter.headers) == sorted(letter.headers)
    assert letter.headers["z"] == ("I", 1)


def test_a_death_elsewhere_goes_in_front() -> None:
    letter = die(die(publication()), "rejected", "r", time_s=2000)
    entries = [entry for _, entry in deaths_of(letter.headers)]
    assert [(e["queue"], e["reason"], e["exchange"]) for e in entries] == [
        (text("r"), text("rejected"), text("dlx")),
        (text("q"), text("expired"), text("x")),
    ]
    assert letter.headers["x-first-death-queue"] == text("q")
    assert letter.headers["x-last-death-queue"] == text("r")
    assert letter.headers["x-last-death-exchange"] == text("dlx")


def test_a_repetition_counts_and_moves_to_the_front() -> None:
    letter = publication(expiration="1")
    for queue, time_s in (("q", 1), ("r", 2), ("q", 3), ("q", 4)):
        letter = die(letter, queue=queue, time_s=time_s)
    first, second = (entry for _, entry in deaths_of(letter.headers))
    assert (first["queue"], first["count"], first["time"]) == (text("q"), ("l", 3), ("T", 1))
    assert first["original-expiration"] == text("1")
    assert first["exchange"] == text("x")
    assert (second["queue"], second["count"]) == (text("r"), ("l", 1))
    assert letter.headers["x-last-death-queue"] == text("q")


def test_the_same_queue_for_another_reason_is_another_entry() -> None:
    letter = die(die(publication()), "maxlen")
    reasons = [entry["reason"] for _, entry in deaths_of(letter.headers)]
    assert reasons == [text("maxlen"), text("expired")]


def test_cc_is_recorded_and_kept_and_bcc_is_kept_secretly() -> None:
    sent = hide_keys(publication(headers={"CC": keys("c")}), ["b"])
    letter = die(sent)
    ((_, entry),) = deaths_of(letter.headers)
    assert entry["routing-keys"] == keys("key", "c")
    assert list(letter.extra_keys) == ["c", "b"]
    assert list(die(letter, queue="r").extra_keys) == ["c", "b"]


def test_a_routing_key_of_the_queues_own_replaces_all() -> None:
    sent = hide_keys(publication(headers={"CC": keys("c")}), ["b"])
    letter = die(sent, routing_key="own")
    ((_, entry),) = deaths_of(letter.headers)
    assert entry["routing-keys"] == keys("key", "c")
    assert letter.routing_key == "own"
    assert list(letter.extra_keys) == []
    assert "CC" not in letter.headers


def test_an_empty_routing_key_is_one() -> None:
    assert die(publication(), routing_key="").routing_key == ""


@pytest.mark.parametrize(
    "field", [Field("S", b"x"), Field("F", {}), Field("V", None), Field("I", 1)]
)
def test_an_x_death_that_is_no_array_is_replaced(field: Field) -> None:
    letter = die(publication(headers={"x-death": field}))
    assert len(deaths_of(letter.headers)) == 1
    assert "x-first-death-queue" not in letter.headers  # not its first: someone took it along


def test_a_count_sent_by_a_client_goes_on() -> None:
    # A10.9, as RabbitMQ 3.13 does; other entries stay as they are.
    entry = {"queue": Field(*text("q")), "reason": Field(*text("expired"))}
    mine = Field("F", {**entry, "count": Field("I", 4)})
    odd = Field("I", 1)
    letter = die(publication(headers={"x-death": Field("A", (odd, mine))}))
    front, other = deaths_of(letter.headers)
    assert front[1]["count"] == ("l", 5)
    assert other == ("I", 1)
    assert "x-first-death-queue" not in letter.headers


@pytest.mark.parametrize(
    "count", [Field("S", b"4"), Field("d", 1.5), Field("l", COUNT_MAX), Field("l", -7), None]
)
def test_a_count_that_is_none_starts_anew(count: Field | None) -> None:
    entry = {"queue": Field(*text("q")), "reason": Field(*text("expired"))}
    if count is not None:
        entry["count"] = count
    letter = die(publication(headers={"x-death": Field("A", (Field("F", entry),))}))
    ((_, entry),) = deaths_of(letter.headers)
    assert entry["count"] == ("l", 1)


def deaths(*entries: tuple[str, str]) -> list[Field]:
    return [
        Field("F", {"queue": Field(*text(queue)), "reason": Field(*text(reason))})
        for queue, reason in entries
    ]


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([], False),
        ([("r", "expired")], False),
        ([("q", "expired")], True),
        ([("r", "maxlen"), ("q", "expired"), ("s", "rejected")], True),
        ([("r", "rejected"), ("q", "expired")], False),
        ([("q", "rejected")], False),
    ],
)
def test_a_cycle_is_one_that_nobody_has_broken(
    history: list[tuple[str, str]], expected: bool
) -> None:
    assert is_cycle("q", deaths(*history)) is expected


def test_what_a_client_invented_is_no_cycle() -> None:
    assert not is_cycle("q", [Field("I", 1), *deaths(("q", "expired"))])


def dead_lettering(routing_key: str | None = None, exchange: str = "") -> TypedTable:
    """Return arguments: limit 0, so that every message dies at once."""
    table: dict[str, tuple[str, Any]] = {
        "x-max-length": ("I", 0),
        "x-dead-letter-exchange": ("S", exchange),
    }
    if routing_key is not None:
        table["x-dead-letter-routing-key"] = ("S", routing_key)
    return table


def test_a_chain_of_queues_needs_no_stack(client: MemoryClient) -> None:
    for number in range(300):
        client.declare(f"q{number}", dead_lettering(f"q{number + 1}"))
    client.declare("q300")
    client.publish("q0", b"x")
    message = client.get("q300")
    assert message is not None
    assert len(message.headers["x-death"]) == 300


def test_a_cycle_ends_and_is_logged_once(
    client: MemoryClient, caplog: pytest.LogCaptureFixture
) -> None:
    client.declare("a", dead_lettering("b"))
    client.declare("b", dead_lettering("a"))
    client.publish("a", b"1", b"2")
    client.publish("a", b"3")
    assert client.get("a") is None
    assert client.get("b") is None
    assert [record.args for record in caplog.records] == [(("a", "b", "a"),)]


def test_only_the_cycling_queue_is_left_out(client: MemoryClient) -> None:
    client.declare("a", dead_lettering(exchange="amq.fanout"))
    client.declare("other")
    for queue in ("a", "other"):
        client.bind(queue, "amq.fanout")
    client.publish("a", b"x")
    assert client.get_all("other") == [b"x"]


def test_messages_of_one_publish_stay_together(client: MemoryClient) -> None:
    client.declare("a", dead_lettering("b"))
    client.declare("b")
    client.publish("a", *[b"%02d" % number for number in range(100)])
    assert len({id(message.publication) for message in client.queue("b").ready}) <= 2
    assert client.get_all("b") == [b"%02d" % number for number in range(100)]


def test_a_missing_exchange_is_no_error(client: MemoryClient) -> None:
    client.declare("a", dead_lettering(exchange="missing"))
    client.publish("a", b"x")
    assert client.get("a") is None


def test_a_mandatory_message_does_not_come_back_from_the_dead(client: MemoryClient) -> None:
    client.declare("a", dead_lettering("nowhere"))
    client.publish("a", b"x", mandatory=True)
    assert client.is_silent


def test_an_exchange_that_looks_at_messages_gets_each(client: MemoryClient) -> None:
    command = commands.Exchange.Declare(exchange="r", exchange_type="x-random")
    client.call(command, commands.Exchange.DeclareOk)
    client.declare("a", dead_lettering(exchange="r"))
    client.declare("b")
    client.bind("b", "r")
    client.publish("a", b"1", b"2", header=properties(expiration="100000"))
    assert client.get_all("b") == [b"1", b"2"]
