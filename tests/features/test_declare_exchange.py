"""exchange.declare and exchange.delete (FEATURES A3.1-A3.9, A3.12)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pamqp import commands

from tests.amqp_bytes import method_frame, shortstr

if TYPE_CHECKING:
    from tests.amqp_bytes import TypedTable
    from tests.features.conftest import Connect
    from tests.raw_client import RawClient

DECLARE, DELETE = (40, 10), (40, 20)
PREDECLARED = {
    "amq.direct": "direct",
    "amq.fanout": "fanout",
    "amq.topic": "topic",
    "amq.headers": "headers",
    "amq.match": "headers",
}


def declare(
    client: RawClient, exchange: str, arguments: TypedTable | None = None, **options: Any
) -> None:
    command = commands.Exchange.Declare(exchange=exchange, **options)
    client.call(command, commands.Exchange.DeclareOk, 1, arguments)


def expect_inequivalent(
    client: RawClient, exchange: str, difference: str, arguments: TypedTable | None = None,
    **options: Any,
) -> None:  # fmt: skip
    command = commands.Exchange.Declare(exchange=exchange, **options)
    client.send_command(command, 1, arguments)
    argument, values = difference.split(": ")
    where = client.resource("exchange", exchange)
    text = f"PRECONDITION_FAILED - inequivalent arg '{argument}' for {where}: {values}"
    client.expect_channel_error(406, text, DECLARE)


@pytest.mark.parametrize("kind", ["direct", "fanout", "topic", "headers"])
def test_declare_twice_with_the_same_properties(client: RawClient, name: str, kind: str) -> None:
    for _ in range(2):
        declare(client, name, exchange_type=kind, auto_delete=True)


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"exchange_type": "fanout"}, "type: received 'fanout' but current is 'direct'"),
        ({"durable": True}, "durable: received 'true' but current is 'false'"),
        ({"auto_delete": True}, "auto_delete: received 'true' but current is 'false'"),
        ({"internal": True}, "internal: received 'true' but current is 'false'"),
    ],
)
def test_a_different_property_is_inequivalent(
    client: RawClient, name: str, options: dict[str, Any], difference: str
) -> None:
    declare(client, name)
    expect_inequivalent(client, name, difference, **options)


def test_alternate_exchange_is_the_only_argument_compared(client: RawClient, name: str) -> None:
    alternate: TypedTable = {"alternate-exchange": ("S", "amq.fanout")}
    declare(client, name, alternate)
    declare(client, name, {**alternate, "x-anything": ("I", 1)})
    received = "received none but current is the value 'amq.fanout' of type 'longstr'"
    expect_inequivalent(client, name, f"alternate-exchange: {received}")


def test_an_alternate_exchange_cannot_be_added_later(client: RawClient, name: str) -> None:
    declare(client, name)
    arguments: TypedTable = {"alternate-exchange": ("S", "amq.fanout")}
    values = "received the value 'amq.fanout' of type 'longstr' but current is none"
    expect_inequivalent(client, name, f"alternate-exchange: {values}", arguments)


def test_an_alternate_exchange_of_a_wrong_type_is_refused(client: RawClient, name: str) -> None:
    command = commands.Exchange.Declare(exchange=name)
    client.send_command(command, 1, {"alternate-exchange": ("I", 1)})
    where = client.resource("exchange", name)
    text = f"PRECONDITION_FAILED - invalid type 'signedint' for arg 'alternate-exchange' in {where}"
    client.expect_channel_error(406, text, DECLARE)


def test_passive_declare_ignores_every_other_field(client: RawClient, name: str) -> None:
    declare(client, name, exchange_type="fanout")
    declare(client, name, exchange_type="topic", durable=True, passive=True)


def test_passive_declare_ignores_an_unknown_type(client: RawClient, name: str) -> None:
    declare(client, name)
    declare(client, name, exchange_type="", passive=True)


def test_passive_declare_of_a_missing_exchange(client: RawClient, name: str) -> None:
    client.send_command(commands.Exchange.Declare(exchange=name, passive=True))
    text = f"NOT_FOUND - no {client.resource('exchange', name)}"
    client.expect_channel_error(404, text, DECLARE)


@pytest.mark.deviates("RabbitMQ 3.10 answers 503 on the connection")
def test_an_unknown_type_is_refused(client: RawClient, name: str) -> None:
    # A3.3: 406 on the channel since RabbitMQ 3.13.
    client.send_command(commands.Exchange.Declare(exchange=name, exchange_type="x-nonsense"))
    text = "PRECONDITION_FAILED - unknown exchange type 'x-nonsense'"
    client.expect_channel_error(406, text, DECLARE)


@pytest.mark.parametrize(("exchange", "kind"), PREDECLARED.items())
def test_predeclared_exchanges(client: RawClient, exchange: str, kind: str) -> None:
    # A3.5: equivalent to a declare with the right properties, so these are theirs.
    declare(client, exchange, exchange_type=kind, durable=True)


def test_the_trace_exchange_is_internal(client: RawClient) -> None:
    name = "amq.rabbitmq.trace"
    declare(client, name, exchange_type="topic", durable=True, internal=True)
    client.publish("key", b"", exchange=name)
    where = client.resource("exchange", name)
    text = f"ACCESS_REFUSED - cannot publish to internal {where}"
    client.expect_channel_error(403, text, (60, 40))


def test_a_reserved_prefix_is_refused(client: RawClient, name: str) -> None:
    client.send_command(commands.Exchange.Declare(exchange=f"amq.{name}"))
    text = f"ACCESS_REFUSED - exchange name 'amq.{name}' contains reserved prefix 'amq.*'"
    client.expect_channel_error(403, text, DECLARE)


def test_line_ends_are_taken_out_of_a_name(client: RawClient, name: str) -> None:
    # A3.4; encoded by hand because pamqp refuses such names.
    spoiled = name[:3] + "\r\n" + name[3:]
    fields = bytes(2) + shortstr(spoiled) + shortstr("direct") + bytes(1) + bytes(4)
    client.send(method_frame(1, 40, 10, fields))
    client.read(commands.Exchange.DeclareOk)
    declare(client, name, passive=True)


@pytest.mark.parametrize("exchange", ["é ü 日本", "a(b);c|d[e]~f%g>h", "x" * 255])
def test_any_text_up_to_255_bytes_is_a_name(client: RawClient, exchange: str, name: str) -> None:
    unique = (name + exchange).encode()[:255].decode(errors="ignore")
    fields = bytes(2) + shortstr(unique) + shortstr("direct")
    client.send(method_frame(1, 40, 10, fields + bytes(1) + bytes(4)))
    client.read(commands.Exchange.DeclareOk)
    client.send(method_frame(1, 40, 10, fields + b"\x01" + bytes(4)))
    client.read(commands.Exchange.DeclareOk)


@pytest.mark.parametrize(
    ("command", "ids"),
    [
        (commands.Exchange.Declare(exchange="", exchange_type="direct"), DECLARE),
        (commands.Exchange.Delete(exchange=""), DELETE),
        (commands.Exchange.Bind(destination="", source="amq.direct"), (40, 30)),
        (commands.Exchange.Unbind(destination="amq.direct", source=""), (40, 40)),
    ],
    ids=["declare", "delete", "bind", "unbind"],
)
def test_the_default_exchange_cannot_be_changed(
    client: RawClient, command: Any, ids: tuple[int, int]
) -> None:
    # A3.6
    client.send_command(command)
    text = "ACCESS_REFUSED - operation not permitted on the default exchange"
    client.expect_channel_error(403, text, ids)


def test_delete_of_a_missing_exchange_is_ok(client: RawClient, name: str) -> None:
    client.call(commands.Exchange.Delete(exchange=name), commands.Exchange.DeleteOk)


def test_a_system_exchange_cannot_be_deleted(client: RawClient) -> None:
    client.send_command(commands.Exchange.Delete(exchange="amq.fanout"))
    where = client.resource("exchange", "amq.fanout")
    text = f"ACCESS_REFUSED - deletion of system {where} not allowed"
    client.expect_channel_error(403, text, DELETE)


def test_delete_if_unused_fails_while_the_exchange_is_a_source(
    client: RawClient, queue: str, name: str
) -> None:
    exchange = f"{name}-x"
    declare(client, exchange)
    client.bind(queue, exchange)
    client.send_command(commands.Exchange.Delete(exchange=exchange, if_unused=True))
    text = f"PRECONDITION_FAILED - {client.resource('exchange', exchange)} in use"
    client.expect_channel_error(406, text, DELETE)


def test_delete_if_unused_ignores_bindings_to_the_exchange(client: RawClient, name: str) -> None:
    declare(client, name)
    bind = commands.Exchange.Bind(destination=name, source="amq.fanout")
    client.call(bind, commands.Exchange.BindOk)
    delete = commands.Exchange.Delete(exchange=name, if_unused=True)
    client.call(delete, commands.Exchange.DeleteOk)


def test_delete_takes_the_bindings_along(client: RawClient, queue: str, name: str) -> None:
    exchange = f"{name}-x"
    for _ in range(2):
        declare(client, exchange, exchange_type="fanout")
        client.publish("", b"lost", exchange=exchange)
        client.bind(queue, exchange)
        client.call(commands.Exchange.Delete(exchange=exchange), commands.Exchange.DeleteOk)
    assert client.counts(queue) == (0, 0)


def test_nowait_has_no_answer(client: RawClient, name: str) -> None:
    # A3.12
    client.send_command(commands.Exchange.Declare(exchange=name, nowait=True))
    declare(client, name, passive=True)
    client.send_command(commands.Exchange.Delete(exchange=name, nowait=True))
    client.send_command(commands.Exchange.Declare(exchange=name, passive=True))
    text = f"NOT_FOUND - no {client.resource('exchange', name)}"
    client.expect_channel_error(404, text, DECLARE)


def test_nowait_errors_still_close_the_channel(client: RawClient, name: str) -> None:
    client.send_command(commands.Exchange.Declare(exchange=name, passive=True, nowait=True))
    text = f"NOT_FOUND - no {client.resource('exchange', name)}"
    client.expect_channel_error(404, text, DECLARE)


def test_exchanges_are_shared_by_connections(connect: Connect, name: str) -> None:
    declare(connect(), name, exchange_type="topic")
    declare(connect(), name, exchange_type="topic")
