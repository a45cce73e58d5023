"""queue.declare, queue.purge and queue.delete (FEATURES A4.1-A4.4, A4.9-A4.11, T19-T21, T27)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pamqp import commands

from tests.amqp_bytes import longstr, method_frame, shortstr

if TYPE_CHECKING:
    from tests.amqp_bytes import TypedTable
    from tests.features.conftest import Connect
    from tests.raw_client import RawClient

DECLARE, PURGE, DELETE = (50, 10), (50, 30), (50, 40)
NOT_DECLARED = "NOT_FOUND - no previously declared queue"


def expect_inequivalent(
    client: RawClient, queue: str, difference: str, arguments: TypedTable | None = None,
    **options: Any,
) -> None:  # fmt: skip
    client.send_command(commands.Queue.Declare(queue=queue, **options), 1, arguments)
    argument, values = difference.split(": ")
    where = client.resource("queue", queue)
    text = f"PRECONDITION_FAILED - inequivalent arg '{argument}' for {where}: {values}"
    client.expect_channel_error(406, text, DECLARE)


def test_declare_twice_with_the_same_properties(client: RawClient, name: str) -> None:
    for _ in range(2):
        assert client.declare(name, {"x-max-length": ("I", 5)}, durable=True) == name


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"durable": True}, "durable: received 'true' but current is 'false'"),
        ({"auto_delete": True}, "auto_delete: received 'true' but current is 'false'"),
    ],
)
def test_a_different_property_is_inequivalent(
    client: RawClient, queue: str, options: dict[str, Any], difference: str
) -> None:
    expect_inequivalent(client, queue, difference, **options)


@pytest.mark.parametrize(
    ("argument", "pair", "printed"),
    [
        ("x-message-ttl", ("I", 5), "the value '5' of type 'signedint'"),
        ("x-message-ttl", ("l", 5), "the value '5' of type 'long'"),
        ("x-message-ttl", ("b", 5), "the value '5' of type 'byte'"),
        ("x-message-ttl", ("s", 5), "the value '5' of type 'short'"),
        ("x-expires", ("I", 60000), "the value '60000' of type 'signedint'"),
        ("x-max-length", ("I", 7), "the value '7' of type 'signedint'"),
        ("x-max-length-bytes", ("I", 7), "the value '7' of type 'signedint'"),
        ("x-overflow", ("S", "drop-head"), "the value 'drop-head' of type 'longstr'"),
        ("x-dead-letter-exchange", ("S", "dlx"), "the value 'dlx' of type 'longstr'"),
        ("x-max-priority", ("I", 9), "the value '9' of type 'signedint'"),
        ("x-single-active-consumer", ("t", True), "the value 'true' of type 'bool'"),
    ],
)
def test_known_arguments_are_compared(
    client: RawClient, queue: str, argument: str, pair: tuple[str, Any], printed: str
) -> None:
    # A4.1, T29
    difference = f"{argument}: received {printed} but current is none"
    expect_inequivalent(client, queue, difference, {argument: pair})


def test_a_missing_argument_is_inequivalent_too(client: RawClient, name: str) -> None:
    client.declare(name, {"x-max-length": ("I", 5)})
    values = "received none but current is the value '5' of type 'signedint'"
    expect_inequivalent(client, name, f"x-max-length: {values}")


@pytest.mark.parametrize("kind", ["b", "s", "I", "l"])
def test_integers_of_any_width_are_equal_by_value(client: RawClient, name: str, kind: str) -> None:
    # T20: two client libraries encode the same number in different widths.
    client.declare(name, {"x-max-priority": ("I", 10), "x-message-ttl": ("l", 100)})
    client.declare(name, {"x-max-priority": (kind, 10), "x-message-ttl": (kind, 100)})


def test_unknown_arguments_are_ignored(client: RawClient, name: str) -> None:
    # T21
    client.declare(name, {"x-ha-policy": ("S", "all"), "anything": ("t", True)})
    client.declare(name, {"x-ha-policy": ("S", "nodes")})
    client.declare(name)


def test_the_classic_type_equals_no_type(client: RawClient, name: str) -> None:
    client.declare(name, durable=True)
    client.declare(name, {"x-queue-type": ("S", "classic")}, durable=True)


def test_message_count_is_ready_messages_only(client: RawClient, queue: str) -> None:
    # A4.2, T27
    client.publish(queue, b"one", b"two", b"three")
    client.get(queue, no_ack=False)
    assert client.counts(queue) == (2, 0)


def test_consumer_count_has_consumers_of_all_connections(connect: Connect, name: str) -> None:
    first, second = connect(), connect()
    first.declare(name)
    first.consume(name)
    second.consume(name)
    second.consume(name, no_ack=True)
    assert first.counts(name) == (0, 3)


def test_nowait_declare_has_no_answer(client: RawClient, name: str) -> None:
    client.send_command(commands.Queue.Declare(queue=name, nowait=True))
    assert client.counts(name) == (0, 0)


def test_a_server_named_queue(client: RawClient) -> None:
    # A4.3
    name = client.declare("")
    assert name.startswith("amq.gen-")
    assert len(name) == len("amq.gen-") + 22
    assert client.declare("") != name


def test_the_last_declared_queue_stands_for_an_empty_name(client: RawClient) -> None:
    name = client.declare("", exclusive=True)
    client.bind("", "amq.direct", "")
    client.publish(name, b"one", b"two", exchange="amq.direct")
    message = client.get("")
    assert message is not None
    assert message.command["routing_key"] == name
    purged = client.call(commands.Queue.Purge(), commands.Queue.PurgeOk)
    assert purged.message_count == 1
    client.consume("", tag="mine")
    client.call(commands.Basic.Cancel("mine"), commands.Basic.CancelOk)
    unbind = commands.Queue.Unbind(exchange="amq.direct", routing_key="")
    client.call(unbind, commands.Queue.UnbindOk)
    client.publish(name, b"three", exchange="amq.direct")
    client.call(commands.Queue.Delete(), commands.Queue.DeleteOk)


def test_an_explicit_declare_is_the_last_declared_queue_too(client: RawClient, name: str) -> None:
    client.declare("", exclusive=True)
    client.declare(name)
    client.publish(name, b"one")
    assert client.get_all("") == [b"one"]


@pytest.mark.parametrize(
    ("command", "ids"),
    [
        (commands.Queue.Bind(exchange="amq.direct"), (50, 20)),
        (commands.Queue.Purge(), PURGE),
        (commands.Basic.Consume(), (60, 20)),
        (commands.Basic.Get(), (60, 70)),
        (commands.Queue.Unbind(exchange="amq.direct"), (50, 50)),
    ],
    ids=["bind", "purge", "consume", "get", "unbind"],
)
def test_an_empty_name_needs_a_declared_queue(
    client: RawClient, command: Any, ids: tuple[int, int]
) -> None:
    client.send_command(command)
    client.expect_channel_error(404, NOT_DECLARED, ids)


def test_passive_declare_of_a_missing_queue(client: RawClient, name: str) -> None:
    client.send_command(commands.Queue.Declare(queue=name, passive=True))
    text = f"NOT_FOUND - no {client.resource('queue', name)}"
    client.expect_channel_error(404, text, DECLARE)


def test_passive_declare_compares_nothing(client: RawClient, name: str) -> None:
    # T19
    client.declare(name, {"x-max-length": ("I", 5)}, durable=True)
    command = commands.Queue.Declare(queue=name, passive=True, auto_delete=True)
    client.call(command, commands.Queue.DeclareOk, 1, {"x-max-length": ("S", "nonsense")})


def test_a_reserved_prefix_is_refused(client: RawClient, name: str) -> None:
    client.send_command(commands.Queue.Declare(queue=f"amq.{name}"))
    text = f"ACCESS_REFUSED - queue name 'amq.{name}' contains reserved prefix 'amq.*'"
    client.expect_channel_error(403, text, DECLARE)


def test_a_reserved_prefix_is_fine_if_the_queue_exists(client: RawClient) -> None:
    name = client.declare("", exclusive=True)
    assert client.counts(name) == (0, 0)


def test_line_ends_are_taken_out_of_a_name(client: RawClient, name: str) -> None:
    fields = bytes(2) + shortstr(name[:3] + "\r\n" + name[3:]) + bytes(1) + longstr(b"")
    client.send(method_frame(1, 50, 10, fields))
    assert client.read(commands.Queue.DeclareOk).queue == name


@pytest.mark.parametrize("text", ["é ü 日本", "a(b);c|d[e]~f%g>h", "x" * 255])
def test_any_text_up_to_255_bytes_is_a_name(client: RawClient, text: str, name: str) -> None:
    # T2: the answer holds the name as it was sent.
    unique = shortstr((name + text).encode()[:255].decode(errors="ignore"))
    client.send(method_frame(1, 50, 10, bytes(2) + unique + bytes(1) + bytes(4)))
    answer = client.read_frame()
    assert (answer.ids, answer.payload[4:]) == ((50, 11), unique + bytes(8))


def test_purge_takes_ready_messages_only(client: RawClient, queue: str) -> None:
    # A4.9
    client.publish(queue, b"one", b"two", b"three")
    held = client.get(queue, no_ack=False)
    purged = client.call(commands.Queue.Purge(queue=queue), commands.Queue.PurgeOk)
    assert purged.message_count == 2
    assert held is not None
    client.nack(held.tag)
    assert client.get_all(queue) == [b"one"]


def test_purge_of_a_missing_queue(client: RawClient, name: str) -> None:
    client.send_command(commands.Queue.Purge(queue=name))
    text = f"NOT_FOUND - no {client.resource('queue', name)}"
    client.expect_channel_error(404, text, PURGE)


def test_nowait_purge_has_no_answer(client: RawClient, queue: str) -> None:
    client.publish(queue, b"one")
    client.send_command(commands.Queue.Purge(queue=queue, nowait=True))
    assert client.counts(queue) == (0, 0)


def test_delete_counts_ready_messages(client: RawClient, queue: str) -> None:
    # A4.10
    client.publish(queue, b"one", b"two", b"three")
    client.get(queue, no_ack=False)
    answer = client.call(commands.Queue.Delete(queue=queue), commands.Queue.DeleteOk)
    assert answer.message_count == 2


def test_delete_of_a_missing_queue_is_ok(client: RawClient, name: str) -> None:
    answer = client.call(commands.Queue.Delete(queue=name), commands.Queue.DeleteOk)
    assert answer.message_count == 0


def test_delete_if_unused_fails_with_a_consumer(client: RawClient, queue: str) -> None:
    client.consume(queue)
    client.send_command(commands.Queue.Delete(queue=queue, if_unused=True))
    text = f"PRECONDITION_FAILED - {client.resource('queue', queue)} in use"
    client.expect_channel_error(406, text, DELETE)


def test_delete_if_empty_fails_with_a_message(client: RawClient, queue: str) -> None:
    client.publish(queue, b"one")
    client.send_command(commands.Queue.Delete(queue=queue, if_empty=True))
    text = f"PRECONDITION_FAILED - {client.resource('queue', queue)} not empty"
    client.expect_channel_error(406, text, DELETE)


def test_delete_takes_bindings_and_messages_along(client: RawClient, queue: str) -> None:
    client.bind(queue, "amq.direct", queue)
    client.publish(queue, b"one")
    client.call(commands.Queue.Delete(queue=queue), commands.Queue.DeleteOk)
    client.declare(queue)
    client.publish(queue, b"two", exchange="amq.direct")
    assert client.counts(queue) == (0, 0)


def test_settling_what_a_deleted_queue_delivered_is_fine(client: RawClient, queue: str) -> None:
    client.publish(queue, b"one", b"two")
    tags = [message.tag for _ in range(2) if (message := client.get(queue, no_ack=False))]
    client.call(commands.Queue.Delete(queue=queue), commands.Queue.DeleteOk)
    client.ack(tags[0])
    client.nack(tags[1])
    client.declare(queue)
    assert client.counts(queue) == (0, 0)


def test_nowait_delete_has_no_answer(client: RawClient, queue: str) -> None:
    client.send_command(commands.Queue.Delete(queue=queue, nowait=True))
    client.declare(queue, durable=True)


def test_a_transient_queue_needs_not_be_exclusive(client: RawClient, name: str) -> None:
    # A4.7: allowed up to RabbitMQ 4.2, and here; Celery's defaults need it.
    assert client.declare(name, durable=False, exclusive=False) == name
