"""Direct reply-to (FEATURES A5.16)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import commands

from tests.amqp_bytes import longstr, method_frame, properties, shortstr

if TYPE_CHECKING:
    from tests.features.conftest import Connect
    from tests.raw_client import RawClient

REPLY_TO = "amq.rabbitmq.reply-to"
ASK = properties(reply_to=REPLY_TO, correlation_id="question")
CONSUME, PUBLISH, DECLARE = (60, 20), (60, 40), (50, 10)


def ask(requester: RawClient, responder: RawClient, queue: str) -> str:
    """Consume replies, publish a question; return the address that the responder sees."""
    responder.declare(queue)
    requester.consume(REPLY_TO, no_ack=True)
    requester.publish(queue, b"question", header=ASK)
    responder.consume(queue, no_ack=True)
    address = responder.deliver().properties.reply_to
    assert address is not None
    assert address.startswith(f"{REPLY_TO}.")
    return address


def test_a_reply_reaches_the_requester(connect: Connect, name: str) -> None:
    requester, responder = connect(), connect()
    address = ask(requester, responder, name)
    answer = properties(correlation_id="question", headers={"n": ("l", 1)})
    responder.publish(address, b"answer", header=answer)
    message = requester.deliver()
    assert (message.body, message.header) == (b"answer", answer)
    assert message.command["exchange"] == ""
    assert message.command["routing_key"] == address
    assert message.command["redelivered"] is False


def test_a_reply_from_the_same_channel(client: RawClient, queue: str) -> None:
    tag = client.consume(REPLY_TO, no_ack=True)
    client.publish(queue, b"question", header=ASK)
    question = client.get(queue)
    assert question is not None
    client.publish(str(question.properties.reply_to), b"answer")
    message = client.deliver()
    assert (message.body, message.command["consumer_tag"]) == (b"answer", tag)


def test_replies_keep_their_order(connect: Connect, name: str) -> None:
    requester, responder = connect(), connect()
    address = ask(requester, responder, name)
    bodies = [b"%d" % number for number in range(100)]
    responder.publish(address, *bodies)
    assert requester.delivers(100) == bodies


def test_other_properties_of_the_question_stay_as_they_are(client: RawClient, queue: str) -> None:
    client.consume(REPLY_TO, no_ack=True)
    header = {"content_type": "a/b", "headers": {"n": ("s", 1)}, "message_id": "id"}
    client.publish(queue, b"", header=properties(reply_to=REPLY_TO, **header))
    question = client.get(queue)
    assert question is not None
    address = question.properties.reply_to
    assert question.header == properties(reply_to=address, **header)


def test_a_reply_is_confirmed(connect: Connect, name: str) -> None:
    requester, responder = connect(), connect()
    address = ask(requester, responder, name)
    responder.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    responder.publish(address, b"answer")
    assert responder.read(commands.Basic.Ack).delivery_tag == 1
    assert requester.deliver().body == b"answer"


def test_the_reply_consumer_cannot_acknowledge(client: RawClient) -> None:
    client.send_command(commands.Basic.Consume(queue=REPLY_TO, no_ack=False))
    text = "PRECONDITION_FAILED - reply consumer cannot acknowledge"
    client.expect_channel_error(406, text, CONSUME)


def test_there_is_one_reply_consumer_per_channel(client: RawClient) -> None:
    client.open_channel(2)
    client.consume(REPLY_TO, no_ack=True)
    client.consume(REPLY_TO, no_ack=True, channel=2)
    client.send_command(commands.Basic.Consume(queue=REPLY_TO, no_ack=True))
    text = "PRECONDITION_FAILED - reply consumer already set"
    client.expect_channel_error(406, text, CONSUME)


def test_a_question_needs_a_reply_consumer(client: RawClient, queue: str) -> None:
    client.publish(queue, b"question", header=ASK)
    text = "PRECONDITION_FAILED - fast reply consumer does not exist"
    client.expect_channel_error(406, text, PUBLISH)


def test_the_reply_consumer_must_be_on_the_same_channel(client: RawClient, queue: str) -> None:
    client.open_channel(2)
    client.consume(REPLY_TO, no_ack=True, channel=2)
    client.publish(queue, b"question", header=ASK)
    text = "PRECONDITION_FAILED - fast reply consumer does not exist"
    client.expect_channel_error(406, text, PUBLISH)


def test_a_cancelled_reply_consumer_may_be_set_again(client: RawClient) -> None:
    for _ in range(2):
        client.consume(REPLY_TO, no_ack=True, tag="mine")
        client.call(commands.Basic.Cancel("mine"), commands.Basic.CancelOk)


def test_a_passive_declare_tells_whether_the_requester_is_there(
    connect: Connect, name: str
) -> None:
    # A4.4
    requester, responder = connect(), connect()
    address = ask(requester, responder, name)
    # Encoded by hand because pamqp refuses such names.
    declare = method_frame(1, *DECLARE, bytes(2) + shortstr(address) + b"\x01" + longstr(""))
    responder.send(declare)
    answer = responder.read(commands.Queue.DeclareOk)
    assert (answer.queue, answer.message_count, answer.consumer_count) == (address, 0, 1)
    requester.close_connection()
    responder.send(declare)
    text = f"NOT_FOUND - no {responder.resource('queue', address)}"
    responder.expect_channel_error(404, text, DECLARE)


def test_the_bare_name_always_exists(client: RawClient) -> None:
    declare = commands.Queue.Declare(queue=REPLY_TO, passive=True)
    assert client.call(declare, commands.Queue.DeclareOk).queue == REPLY_TO


def test_a_reply_to_a_gone_channel_vanishes(client: RawClient, name: str) -> None:
    client.open_channel(2)
    client.declare(name)
    client.consume(REPLY_TO, no_ack=True, channel=2)
    client.publish(name, b"question", header=ASK, channel=2)
    client.counts(name, channel=2)
    question = client.get(name)
    assert question is not None
    client.close_channel(2)
    client.publish(str(question.properties.reply_to), b"lost")
    assert client.is_quiet(name)


@pytest.mark.deviates("RabbitMQ 3.10 answers a forged address with 541")
def test_a_forged_address_reaches_nobody(client: RawClient, queue: str) -> None:
    client.consume(REPLY_TO, no_ack=True)
    client.publish(f"{REPLY_TO}.bm9ib2R5.bm9ib2R5", b"lost")
    assert client.is_quiet(queue)
