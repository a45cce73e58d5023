"""Ack, nack and reject: which deliveries, and what becomes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import commands

from tests.amqp_bytes import command_frame

if TYPE_CHECKING:
    from tests.broker.client import MemoryClient

ABC = [b"a", b"b", b"c"]


@pytest.fixture
def client(client: MemoryClient) -> MemoryClient:
    """A client with a, b and c of queue q on loan."""
    client.publish(client.declare("q"), *ABC)
    for _ in ABC:
        client.get("q", no_ack=False)
    return client


def left(client: MemoryClient) -> list[bytes]:
    """Return what the queue holds once the channel has gone."""
    client.close_channel()
    client.open_channel()
    return client.get_all("q")


def test_acks_in_a_row(client: MemoryClient) -> None:
    client.send(b"".join(command_frame(commands.Basic.Ack(tag), 1) for tag in (3, 1)))
    assert left(client) == [b"b"]


def test_an_ack_of_many(client: MemoryClient) -> None:
    client.ack(2, multiple=True)
    assert left(client) == [b"c"]


def test_nack_of_many_puts_them_back_in_order(client: MemoryClient) -> None:
    client.nack(2, multiple=True)
    assert len(client.queue("q").ready) == 2
    assert left(client) == ABC


def test_nack_and_reject_for_good(client: MemoryClient) -> None:
    client.nack(1, requeue=False)
    client.reject(3, requeue=False)
    assert client.queue("q").unsettled_count == 1
    assert left(client) == [b"b"]


def test_reject_puts_one_back(client: MemoryClient) -> None:
    client.reject(2)
    message = client.get("q")
    assert message is not None
    assert (message.body, message.redelivered) == (b"b", True)


@pytest.mark.parametrize("multiple", [True, False])
def test_tag_zero(client: MemoryClient, multiple: bool) -> None:
    client.nack(0, multiple=multiple, requeue=False)
    if multiple:
        assert left(client) == []
    else:
        text = "PRECONDITION_FAILED - unknown delivery tag 0"
        client.expect_channel_error(406, text, (60, 120))


def test_settling_nothing_is_fine(client: MemoryClient) -> None:
    client.ack(0, multiple=True)
    client.ack(0, multiple=True)
    client.nack(0, multiple=True)
    assert left(client) == []
