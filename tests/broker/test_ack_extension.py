"""A publish that asks for more time (FEATURES N4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pamqp import commands

from tests.amqp_bytes import properties

if TYPE_CHECKING:
    from tests.broker.client import MemoryClient

DEADLINE = {"x-ack-deadline": ("I", 10_000)}


def hold(client: MemoryClient, count: int = 1) -> None:
    client.declare("q", DEADLINE)
    client.consume("q")
    client.publish("q", *[b"x"] * count)
    for _ in range(count):
        client.deliver()


def ask(client: MemoryClient, *, mandatory: bool = False, **headers: Any) -> None:
    typed = {name.replace("_", "-"): field for name, field in headers.items()}
    header = properties(headers=typed)
    client.publish("amq.ack-extend", b"", header=header, mandatory=mandatory)


def remaining(client: MemoryClient, tag: int) -> int:
    deadlines = client.channel().deadlines
    assert deadlines is not None
    left = deadlines.remaining_ms(tag)
    assert left is not None
    return left


def test_one_delivery_is_extended(client: MemoryClient) -> None:
    hold(client, 2)
    ask(client, x_delivery_tag=("l", 2), x_ack_extend=("I", 60_000))
    assert remaining(client, 1) <= 10_000
    assert remaining(client, 2) > 59_000
    assert client.is_silent


def test_all_are_extended_without_a_tag(client: MemoryClient) -> None:
    hold(client, 2)
    ask(client, x_ack_extend=("b", 100))
    assert remaining(client, 1) <= 100
    assert remaining(client, 2) <= 100
    ask(client)
    assert remaining(client, 2) > 9_000


def test_what_is_settled_is_returned_if_that_matters(client: MemoryClient) -> None:
    hold(client)
    client.ack(1)
    ask(client, x_delivery_tag=("I", 1))
    assert client.is_silent
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    ask(client, mandatory=True, x_delivery_tag=("I", 1))
    returned: Any = client.read_message(commands.Basic.Return).command
    assert (returned.reply_code, returned.routing_key) == (312, "amq.ack-extend")
    assert client.read(commands.Basic.Ack).delivery_tag == 1


def test_another_channel_knows_nothing_of_it(client: MemoryClient, other: MemoryClient) -> None:
    hold(client)
    ask(other, mandatory=True, x_delivery_tag=("I", 1))
    other.read_message(commands.Basic.Return)


def test_the_same_publish_may_be_repeated(client: MemoryClient) -> None:
    hold(client)
    for _ in range(3):
        ask(client, x_delivery_tag=("I", 1), x_ack_extend=("I", 60_000))
    assert remaining(client, 1) > 59_000


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("x-delivery-tag", ("S", b"1")),
        ("x-delivery-tag", ("I", -1)),
        ("x-ack-extend", ("d", 1.0)),
        ("x-ack-extend", ("l", 1 << 50)),
    ],
)
def test_what_is_no_number_is_refused(client: MemoryClient, name: str, field: Any) -> None:
    hold(client)
    ask(client, **{name: field})
    text = f"PRECONDITION_FAILED - invalid header '{name}' for 'amq.ack-extend'"
    client.expect_channel_error(406, text, (60, 40))


def test_other_exchanges_and_keys_mean_nothing(client: MemoryClient) -> None:
    hold(client)
    header = properties(headers={"x-ack-extend": ("I", 60_000)})
    client.publish("amq.ack-extend", b"", exchange="amq.direct", header=header)
    client.publish("q", b"", header=header)
    assert remaining(client, 1) <= 10_000
    assert client.deliver().body == b""
