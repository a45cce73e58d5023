"""basic.recover and basic.recover-async (FEATURES A6.11)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamqp import commands

from tests.amqp_bytes import method_frame

if TYPE_CHECKING:
    from tests.raw_client import RawClient

RECOVER, RECOVER_ASYNC = (60, 110), (60, 100)


def test_recover_requeues_everything_unsettled(client: RawClient, queue: str) -> None:
    client.publish(queue, b"one", b"two", b"three")
    client.consume(queue)
    client.delivers(3)
    client.ack(2)
    client.send_command(commands.Basic.Recover(True))
    # The redeliveries come over the queue, so recover-ok may stand among them.
    frames = [client.read_frame() for _ in range(7)]
    assert [frame.ids for frame in frames if frame.kind == 1].count((60, 111)) == 1
    assert [frame.payload for frame in frames if frame.kind == 3] == [b"one", b"three"]


def test_recovered_messages_get_new_tags_and_the_flag(client: RawClient, queue: str) -> None:
    client.publish(queue, b"one")
    client.get(queue, no_ack=False)
    client.call(commands.Basic.Recover(True), commands.Basic.RecoverOk)
    client.ack(1)
    text = "PRECONDITION_FAILED - unknown delivery tag 1"
    client.expect_channel_error(406, text, (60, 80))
    client.open_channel()
    message = client.get(queue)
    assert message is not None
    assert message.redelivered


def test_recover_takes_messages_of_get_too(client: RawClient, name: str) -> None:
    for queue in (f"{name}-a", f"{name}-b"):
        client.declare(queue)
        client.publish(queue, b"one")
        client.get(queue, no_ack=False)
    client.call(commands.Basic.Recover(True), commands.Basic.RecoverOk)
    assert client.counts(f"{name}-a") == (1, 0)
    assert client.counts(f"{name}-b") == (1, 0)


def test_recover_with_nothing_to_recover(client: RawClient) -> None:
    client.call(commands.Basic.Recover(True), commands.Basic.RecoverOk)


def test_recover_async_has_no_answer(client: RawClient, queue: str) -> None:
    client.publish(queue, b"one")
    client.get(queue, no_ack=False)
    client.send(method_frame(1, *RECOVER_ASYNC, b"\x01"))
    assert client.counts(queue) == (1, 0)


def test_recover_without_requeue_is_not_implemented(client: RawClient) -> None:
    client.send_command(commands.Basic.Recover(False))
    client.expect_connection_error(540, "NOT_IMPLEMENTED - requeue=false", RECOVER)


def test_recover_async_without_requeue_is_not_implemented(client: RawClient) -> None:
    client.send(method_frame(1, *RECOVER_ASYNC, b"\x00"))
    client.expect_connection_error(540, "NOT_IMPLEMENTED - requeue=false", RECOVER_ASYNC)


def test_recover_makes_room_under_a_global_limit(client: RawClient, queue: str) -> None:
    client.call(commands.Basic.Qos(prefetch_count=1, global_=True), commands.Basic.QosOk)
    client.publish(queue, b"one", b"two")
    client.consume(queue, tag="mine")
    client.deliver()
    client.call(commands.Basic.Cancel("mine"), commands.Basic.CancelOk)
    client.call(commands.Basic.Recover(True), commands.Basic.RecoverOk)
    client.consume(queue)
    assert client.deliver().body == b"one"
    assert client.is_quiet(queue)
