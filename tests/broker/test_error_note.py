"""A consumer says why it failed; the text goes with the message (FEATURES N7, S158)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pamqp import commands

from amqpbroker.broker.error_note import ERROR_SIZE_MAX, STALE_COUNT_MIN
from tests.amqp_bytes import properties
from tests.broker.client import MemoryClient, connect, make_broker
from tests.broker.clock import advance, clocked
from tests.broker.durable import PERSISTENT, lent, running

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker

TO_DEAD: dict[str, tuple[str, Any]] = {
    "x-dead-letter-exchange": ("S", b""),
    "x-dead-letter-routing-key": ("S", b"dead"),
}
RETRY: dict[str, tuple[str, Any]] = {"x-delayed-retry-min": ("I", 1000)}
LAST = {"x-delivery-limit": ("I", 1)}


@pytest.fixture
def broker() -> Broker:
    return make_broker()


@pytest.fixture
def client(broker: Broker) -> MemoryClient:
    client = connect(broker)
    client.declare("dead")
    client.declare("q", TO_DEAD)
    client.declare("retrying", TO_DEAD | RETRY | LAST)
    return client


def tell(client: MemoryClient, tag: int, text: bytes) -> None:
    header = properties(headers={"x-delivery-tag": ("l", tag)})
    client.publish("amq.delivery-error", text, header=header)


def fail(client: MemoryClient, queue: str, *texts: bytes, requeue: bool = False) -> None:
    """Fetch the first message, say why it failed, and reject it."""
    lent(client, queue)
    tag = client.channel().last_tag
    for text in texts:
        tell(client, tag, text)
    client.reject(tag, requeue=requeue)


def error_of(client: MemoryClient, queue: str) -> Any:
    message = client.get(queue)
    assert message is not None
    return message.headers.get("x-exception-message")


def test_a_dead_letter_has_the_text(client: MemoryClient) -> None:
    client.publish("q", b"1", b"2", b"3", header=properties(headers={"h": ("I", 1)}))
    fail(client, "q", b"no such customer")
    fail(client, "q")
    fail(client, "q", b"once", b"twice")
    assert [error_of(client, "dead") for _ in range(3)] == ["no such customer", None, "twice"]


@pytest.mark.parametrize("kind", [b"classic", b"quorum"])
def test_the_last_text_goes_from_try_to_try(client: MemoryClient, kind: bytes) -> None:
    clock = clocked(client.broker)
    arguments = {"x-delivery-limit": ("I", 2), "x-queue-type": ("S", kind)}
    client.declare("jobs", TO_DEAD | RETRY | arguments, durable=True)
    client.publish("jobs", b"1")
    fail(client, "jobs", b"first", requeue=True)
    advance(client.broker.timers, clock, 1)
    again = lent(client, "jobs")
    assert again.headers == {"x-delivery-count": 1, "x-exception-message": "first"}
    client.reject(client.channel().last_tag)
    advance(client.broker.timers, clock, 2)
    fail(client, "jobs", b"second", requeue=True)
    message = client.get("dead")
    assert message is not None
    assert message.headers["x-exception-message"] == "second"
    assert message.headers["x-death"][0]["reason"] == "delivery_limit"
    assert "x-delivery-count" not in message.headers


def test_a_quorum_queue_gives_it_to_dead_letters(client: MemoryClient) -> None:
    client.declare("quorum", TO_DEAD | {"x-queue-type": ("S", b"quorum")}, durable=True)
    client.publish("quorum", b"1")
    fail(client, "quorum", b"why")
    assert error_of(client, "dead") == "why"


def test_a_requeue_without_retries_changes_nothing(client: MemoryClient) -> None:
    client.publish("q", b"1")
    fail(client, "q", b"why", requeue=True)
    assert error_of(client, "q") is None


def test_nothing_is_routed_and_a_confirm_comes(client: MemoryClient) -> None:
    client.publish("q", b"1")
    lent(client, "q")
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    tell(client, 1, b"why")
    assert client.read(commands.Basic.Ack).delivery_tag == 1


def test_a_tag_that_is_not_outstanding(client: MemoryClient) -> None:
    tell(client, 7, b"why")
    client.expect_channel_error(406, "PRECONDITION_FAILED - unknown delivery tag 7", (60, 40))


@pytest.mark.parametrize("field", [("S", b"1"), ("l", -1)])
def test_a_tag_that_is_no_number(client: MemoryClient, field: tuple[str, Any]) -> None:
    header = properties(headers={"x-delivery-tag": field})
    client.publish("amq.delivery-error", b"why", header=header)
    text = "PRECONDITION_FAILED - invalid header 'x-delivery-tag' for 'amq.delivery-error'"
    client.expect_channel_error(406, text, (60, 40))


def test_a_long_text_is_cut_between_characters(client: MemoryClient) -> None:
    client.publish("q", b"1")
    fail(client, "q", b"a" + "ä".encode() * ERROR_SIZE_MAX)
    assert error_of(client, "dead") == "a" + "ä" * ((ERROR_SIZE_MAX - 1) // 2)


def test_notes_on_what_was_acked_are_thrown_out(client: MemoryClient) -> None:
    count = STALE_COUNT_MIN + 4
    client.publish("q", *[b"x"] * count)
    for _ in range(count):
        lent(client, "q")
        tag = client.channel().last_tag
        tell(client, tag, b"why")
        client.ack(tag)
    notes = client.channel().error_notes
    assert notes is not None
    assert len(notes) <= 4


@pytest.mark.parametrize("is_one", [False, True])
def test_transactions_reject_at_their_commit(client: MemoryClient, is_one: bool) -> None:
    client.call(commands.Tx.Select(), commands.Tx.SelectOk)
    client.publish("q", b"1")
    client.call(commands.Tx.Commit(), commands.Tx.CommitOk)
    lent(client, "q")
    header = properties(headers={"x-delivery-tag": ("l", 1)})
    client.publish("amq.delivery-error", b"why", header=header)
    if not is_one:
        client.call(commands.Tx.Commit(), commands.Tx.CommitOk)
    client.reject(1, requeue=False)
    client.call(commands.Tx.Commit(), commands.Tx.CommitOk)
    assert error_of(client, "dead") == "why"


async def test_the_text_survives_a_restart() -> None:
    broker = await running()
    broker.clock.now = 1000
    client = broker.connect(1)
    client.declare("dead", durable=True)
    client.declare("retrying", TO_DEAD | RETRY | LAST, durable=True)
    client.publish("retrying", b"1", header=PERSISTENT)
    fail(client, "retrying", b"why", requeue=True)
    await broker.commit()
    broker.clock.now += 2
    await broker.start()
    client = broker.connect(1)
    fail(client, "retrying", requeue=True)
    await broker.commit()
    await broker.start()
    assert error_of(broker.connect(1), "dead") == "why"
