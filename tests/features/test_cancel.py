"""basic.cancel (FEATURES A6.12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamqp import commands

if TYPE_CHECKING:
    from tests.features.conftest import Connect
    from tests.raw_client import RawClient


def cancel(client: RawClient, tag: str) -> None:
    answer = client.call(commands.Basic.Cancel(tag), commands.Basic.CancelOk)
    assert answer.consumer_tag == tag


def test_cancel_of_an_unknown_tag_is_ok(client: RawClient) -> None:
    cancel(client, "nobody")


def test_nothing_is_delivered_after_cancel_ok(client: RawClient, queue: str) -> None:
    client.consume(queue, tag="mine", no_ack=True)
    cancel(client, "mine")
    client.publish(queue, b"one")
    assert client.is_quiet(queue)
    assert client.counts(queue) == (1, 0)


def test_unsettled_messages_stay_with_the_channel(client: RawClient, queue: str) -> None:
    client.publish(queue, b"one")
    client.consume(queue, tag="mine")
    client.deliver()
    cancel(client, "mine")
    assert client.counts(queue) == (0, 0)
    client.close_channel()
    client.open_channel()
    assert client.counts(queue) == (1, 0)


def test_nowait_cancel_has_no_answer(client: RawClient, queue: str) -> None:
    client.consume(queue, tag="mine")
    client.send_command(commands.Basic.Cancel("mine", True))
    assert client.counts(queue) == (0, 0)


def test_the_other_consumers_take_over(connect: Connect, name: str) -> None:
    first, second = connect(), connect()
    first.declare(name)
    first.consume(name, tag="mine", no_ack=True)
    second.consume(name, no_ack=True)
    cancel(first, "mine")
    first.publish(name, *[b"body"] * 4)
    assert second.delivers(4) == [b"body"] * 4


def test_deliveries_under_way_come_before_cancel_ok(client: RawClient, queue: str) -> None:
    bodies = [b"%d" % number for number in range(50)]
    client.publish(queue, *bodies)
    client.counts(queue)
    client.consume(queue, tag="mine", no_ack=True)
    client.send_command(commands.Basic.Cancel("mine"))
    seen = []
    while (frame := client.read_frame()).kind != 1 or frame.ids != (60, 31):
        if frame.kind == 3:
            seen.append(frame.payload)
    assert seen + client.get_all(queue) == bodies


def test_cancel_of_another_channels_consumer_does_nothing(client: RawClient, queue: str) -> None:
    client.open_channel(2)
    client.consume(queue, tag="mine")
    answer = client.call(commands.Basic.Cancel("mine"), commands.Basic.CancelOk, 2)
    assert answer.consumer_tag == "mine"
    assert client.counts(queue) == (0, 1)
