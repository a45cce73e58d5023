"""Dead letters: where they go and what is written on them (FEATURES A10, T5, T26)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from pamqp import commands

from tests.amqp_bytes import longstr, properties, shortstr

if TYPE_CHECKING:
    from tests.amqp_bytes import Message, TypedTable
    from tests.features.conftest import Connect
    from tests.raw_client import RawClient

REASONS = ["rejected", "expired", "maxlen"]


def dying(reason: str = "rejected", exchange: str = "", key: str | None = None) -> TypedTable:
    """Return arguments of a queue in which messages die for a reason."""
    table: dict[str, tuple[str, Any]] = {"x-dead-letter-exchange": ("S", exchange)}
    if key is not None:
        table["x-dead-letter-routing-key"] = ("S", key)
    if reason == "expired":
        table["x-message-ttl"] = ("I", 0)
    elif reason == "maxlen":
        table["x-max-length"] = ("I", 0)
    return table


def reject(client: RawClient, queue: str, channel: int = 1) -> None:
    """Get one message and reject it for good."""
    message = client.get(queue, no_ack=False, channel=channel)
    assert message is not None
    client.reject(message.tag, requeue=False, channel=channel)


def deaths(message: Message) -> list[tuple[str, str, int]]:
    """Return queue, reason and count of the entries of x-death."""
    return [(d["queue"], d["reason"], d["count"]) for d in message.headers["x-death"]]


@pytest.fixture
def grave(client: RawClient, name: str) -> str:
    """A queue for dead letters, consumed on channel 1."""
    grave = client.declare(f"{name}-grave")
    client.consume(grave, no_ack=True)
    return grave


@pytest.mark.parametrize("reason", REASONS)
def test_a_death_is_recorded(client: RawClient, name: str, grave: str, reason: str) -> None:
    client.declare(name, dying(reason, key=grave))
    client.bind(name, "amq.direct", "key")
    header = properties(headers={"a": ("I", 1)}, message_id="m", delivery_mode=1)
    before = int(time.time())
    client.publish("key", b"body", exchange="amq.direct", header=header)
    if reason == "rejected":
        reject(client, name)
    letter = client.deliver()
    assert letter.body == b"body"
    assert (letter.command["exchange"], letter.command["routing_key"]) == ("", grave)
    assert letter.command["redelivered"] is False
    assert letter.properties.message_id == "m"
    (death,) = letter.headers["x-death"]
    assert before - 1 <= death.pop("time").timestamp() <= time.time() + 1
    assert death == {
        "count": 1,
        "reason": reason,
        "queue": name,
        "exchange": "amq.direct",
        "routing-keys": ["key"],
    }
    assert letter.headers["a"] == 1
    for what, value in (("reason", reason), ("queue", name), ("exchange", "amq.direct")):
        assert letter.headers[f"x-first-death-{what}"] == value


def test_the_types_are_those_that_clients_cast_to(client: RawClient, name: str, grave: str) -> None:
    # T5: count is an int64, time a timestamp, strings are long strings.
    client.declare(name, dying("maxlen", key=grave))
    client.publish(name, b"x")
    header = client.deliver().header
    assert shortstr("count") + b"l" + (1).to_bytes(8, "big") in header
    assert shortstr("time") + b"T" in header
    assert shortstr("routing-keys") + b"A" + longstr(b"S" + longstr(name)) in header
    for field, value in (("reason", "maxlen"), ("queue", name), ("exchange", "")):
        assert shortstr(field) + b"S" + longstr(value) in header


@pytest.mark.deviates("x-last-death-* came with RabbitMQ 3.13")
def test_the_last_death_is_recorded_too(client: RawClient, name: str, grave: str) -> None:
    client.declare(f"{name}-1", dying("maxlen", key=f"{name}-2"))
    client.declare(f"{name}-2", dying("expired", key=grave))
    client.publish(f"{name}-1", b"x")
    headers = client.deliver().headers
    assert headers["x-first-death-queue"] == f"{name}-1"
    assert headers["x-last-death-queue"] == f"{name}-2"
    assert headers["x-last-death-reason"] == "expired"
    assert headers["x-last-death-exchange"] == ""


def test_an_expiration_is_removed_and_noted(client: RawClient, name: str, grave: str) -> None:
    client.declare(name, dying(key=grave))
    client.publish(name, b"x", header=properties(expiration="0"))
    letter = client.deliver()
    assert letter.properties.expiration is None
    (death,) = letter.headers["x-death"]
    assert (death["reason"], death["original-expiration"]) == ("expired", "0")


def test_the_latest_death_is_first(client: RawClient, name: str, grave: str) -> None:
    client.declare(f"{name}-1", dying("maxlen", key=f"{name}-2"))
    client.declare(f"{name}-2", dying("expired", key=grave))
    client.publish(f"{name}-1", b"x")
    letter = client.deliver()
    assert deaths(letter) == [(f"{name}-2", "expired", 1), (f"{name}-1", "maxlen", 1)]
    assert letter.headers["x-first-death-queue"] == f"{name}-1"
    assert letter.headers["x-death"][0]["exchange"] == ""


def test_a_repeated_death_counts_and_moves_to_the_front(client: RawClient, name: str) -> None:
    # T26: the retry idiom, an empty exchange name and a loop that somebody rejects into.
    work, wait = f"{name}-work", f"{name}-wait"
    client.declare(work, dying(key=wait))
    client.declare(wait, dying("expired", key=work))
    client.consume(work)
    client.publish(work, b"x")
    client.reject(client.deliver().tag, requeue=False)
    for turn in (1, 2, 3):
        message = client.deliver()
        assert deaths(message) == [(wait, "expired", turn), (work, "rejected", turn)]
        assert message.headers["x-first-death-queue"] == work
        assert message.headers["x-first-death-reason"] == "rejected"
        client.reject(message.tag, requeue=False)


def test_a_cycle_without_a_reject_is_dropped(client: RawClient, name: str) -> None:
    client.declare(f"{name}-1", dying("expired", key=f"{name}-2"))
    client.declare(f"{name}-2", dying("expired", key=f"{name}-1"))
    client.publish(f"{name}-1", b"x")
    assert client.counts(f"{name}-1")[0] == client.counts(f"{name}-2")[0] == 0
    assert client.is_quiet(f"{name}-1")


def test_a_reject_goes_back_to_where_it_came_from(client: RawClient, name: str) -> None:
    client.declare(name, dying(key=name))
    client.consume(name)
    client.publish(name, b"x")
    for _ in range(3):
        client.reject(client.deliver().tag, requeue=False)
    assert deaths(client.deliver()) == [(name, "rejected", 3)]


def test_without_a_key_of_its_own_a_letter_keeps_its_keys(
    client: RawClient, name: str, grave: str
) -> None:
    other, blind = client.declare(f"{name}-cc"), client.declare(f"{name}-bcc")
    for queue in (grave, other, blind):
        client.bind(queue, "amq.topic", f"*.{queue}")
    client.declare(name, dying("maxlen", exchange="amq.topic"))
    client.bind(name, "amq.direct", f"k.{grave}")
    keys: dict[str, tuple[str, Any]] = {
        "CC": ("A", [("S", f"k.{other}")]),
        "BCC": ("A", [("S", f"k.{blind}")]),
    }
    header = properties(headers=keys)
    client.publish(f"k.{grave}", b"x", exchange="amq.direct", header=header)
    letter = client.deliver()
    assert letter.command["exchange"] == "amq.topic"
    assert letter.command["routing_key"] == f"k.{grave}"
    assert letter.headers["x-death"][0]["routing-keys"] == [f"k.{grave}", f"k.{other}"]
    assert letter.headers["CC"] == [f"k.{other}"]
    assert client.get_all(other) == client.get_all(blind) == [b"x"]


def test_with_a_key_of_its_own_cc_and_bcc_count_no_more(
    client: RawClient, name: str, grave: str
) -> None:
    other = client.declare(f"{name}-cc")
    client.declare(name, dying("maxlen", key=grave))
    client.bind(name, "amq.direct", name)
    keys = {field: ("A", [("S", other)]) for field in ("CC", "BCC")}
    client.publish(name, b"x", exchange="amq.direct", header=properties(headers=keys))
    letter = client.deliver()
    assert "CC" not in letter.headers
    assert letter.headers["x-death"][0]["routing-keys"] == [name, other]
    assert client.counts(other)[0] == 0


def test_a_missing_exchange_drops_letters(client: RawClient, name: str) -> None:
    client.declare(name, dying(exchange=f"{name}-missing"))
    client.publish(name, b"x")
    reject(client, name)
    assert client.counts(name)[0] == 0


def test_an_exchange_may_be_made_later(client: RawClient, name: str, grave: str) -> None:
    client.declare(name, dying(exchange=f"{name}-x"))
    client.publish(name, b"x")
    command = commands.Exchange.Declare(exchange=f"{name}-x", exchange_type="fanout")
    client.call(command, commands.Exchange.DeclareOk)
    client.bind(grave, f"{name}-x")
    reject(client, name)
    assert client.deliver().body == b"x"
    client.call(commands.Exchange.Delete(exchange=f"{name}-x"), commands.Exchange.DeleteOk)


def test_an_unroutable_letter_goes_to_the_alternate_exchange(
    client: RawClient, name: str, grave: str
) -> None:
    command = commands.Exchange.Declare(exchange=f"{name}-x", exchange_type="direct")
    arguments = {"alternate-exchange": ("S", "amq.fanout")}
    client.call(command, commands.Exchange.DeclareOk, arguments=arguments)
    client.bind(grave, "amq.fanout")
    client.declare(name, dying("maxlen", exchange=f"{name}-x"))
    client.publish(name, b"x")
    assert client.deliver().body == b"x"
    client.call(commands.Exchange.Delete(exchange=f"{name}-x"), commands.Exchange.DeleteOk)


def test_an_internal_exchange_takes_letters(client: RawClient, name: str, grave: str) -> None:
    exchange = f"{name}-x"
    command = commands.Exchange.Declare(exchange=exchange, exchange_type="fanout", internal=True)
    client.call(command, commands.Exchange.DeclareOk)
    client.bind(grave, exchange)
    client.declare(name, dying("maxlen", exchange=exchange))
    client.publish(name, b"x")
    assert client.deliver().body == b"x"
    client.call(commands.Exchange.Delete(exchange=exchange), commands.Exchange.DeleteOk)


def test_many_nacked_at_once_die_in_order(client: RawClient, name: str, grave: str) -> None:
    client.declare(name, dying(key=grave))
    bodies = [b"%03d" % number for number in range(500)]
    client.publish(name, *bodies)
    tags = [message.tag for _ in bodies if (message := client.get(name, no_ack=False))]
    client.nack(tags[-1], multiple=True, requeue=False)
    assert client.delivers(500) == bodies


def test_requeueing_is_no_death(client: RawClient, name: str, grave: str) -> None:
    client.declare(name, dying(key=grave))
    client.publish(name, b"x")
    held = client.get(name, no_ack=False)
    assert held is not None
    client.reject(held.tag, requeue=True)
    message = client.get(name)
    assert message is not None
    assert message.headers == {}
    assert client.is_quiet(name)


@pytest.mark.parametrize("end", ["purge", "delete"])
def test_purging_and_deleting_kill_nobody(
    client: RawClient, name: str, grave: str, end: str
) -> None:
    client.declare(name, dying(key=grave))
    client.publish(name, b"x")
    if end == "purge":
        client.call(commands.Queue.Purge(queue=name), commands.Queue.PurgeOk)
    else:
        client.call(commands.Queue.Delete(queue=name), commands.Queue.DeleteOk)
    assert client.is_quiet(grave)


def test_refused_messages_may_die_too(client: RawClient, name: str, grave: str) -> None:
    # A9.7
    overflow = {"x-max-length": ("I", 1), "x-overflow": ("S", "reject-publish-dlx")}
    client.declare(name, {**dying(key=grave), **overflow})
    client.open_channel(2)
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk, 2)
    client.publish(name, b"1", b"2", channel=2)
    letter = client.deliver()
    assert (letter.body, deaths(letter)) == (b"2", [(name, "maxlen", 1)])
    assert {client.read_frame(2).command.name for _ in range(2)} == {"Basic.Ack", "Basic.Nack"}
    assert client.get_all(name) == [b"1"]


def test_a_reject_in_a_transaction_waits_for_the_commit(
    client: RawClient, name: str, grave: str
) -> None:
    client.declare(name, dying(key=grave))
    client.publish(name, b"x")
    client.open_channel(2)
    client.call(commands.Tx.Select(), commands.Tx.SelectOk, 2)
    reject(client, name, channel=2)
    assert client.is_quiet(name)
    client.call(commands.Tx.Commit(), commands.Tx.CommitOk, 2)
    assert client.deliver().body == b"x"


def test_a_client_may_hand_back_an_x_death(client: RawClient, name: str, grave: str) -> None:
    # A10.9: republishing with the headers goes on counting, as on RabbitMQ up to 3.13.
    client.declare(name, dying("maxlen", key=grave))
    client.publish(name, b"x")
    letter = client.deliver()
    client.publish(name, b"x", header=letter.header)
    assert deaths(client.deliver()) == [(name, "maxlen", 2)]


ODD_ENTRY = pytest.param(
    ("A", [("I", 1)]), marks=pytest.mark.deviates("the queue of RabbitMQ 3.10 crashes")
)


@pytest.mark.parametrize("value", [("S", "text"), ("I", 1), ("F", {}), ("A", []), ODD_ENTRY])
def test_an_x_death_that_is_none_does_no_harm(
    client: RawClient, name: str, grave: str, value: tuple[str, Any]
) -> None:
    client.declare(name, dying("maxlen", key=grave))
    client.publish(name, b"x", header=properties(headers={"x-death": value}))
    death = client.deliver().headers["x-death"][0]
    assert (death["queue"], death["count"]) == (name, 1)


def test_a_durable_message_survives_its_death(connect: Connect, name: str) -> None:
    client = connect()
    grave = client.declare(f"{name}-grave", durable=True)
    client.declare(name, dying("maxlen", key=grave), durable=True)
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    client.publish(name, b"x", header=properties(delivery_mode=2))
    assert client.read_frame().command.name == "Basic.Ack"
    letter = client.get(grave)
    assert letter is not None
    assert letter.properties.delivery_mode == 2
    for queue in (name, grave):
        client.call(commands.Queue.Delete(queue=queue), commands.Queue.DeleteOk)
