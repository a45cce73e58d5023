"""Class exchange: what is refused, and that refused means unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pamqp import commands

from tests.amqp_bytes import TypedTable, command_frame, method_frame, shortstr

if TYPE_CHECKING:
    from tests.broker.client import MemoryClient


def declare(
    client: MemoryClient, name: str, arguments: TypedTable | None = None, **options: Any
) -> None:
    command = commands.Exchange.Declare(exchange=name, **options)
    client.call(command, commands.Exchange.DeclareOk, 1, arguments or {})


def refused(
    client: MemoryClient, name: str, arguments: TypedTable | None = None, **options: Any
) -> str:
    command = commands.Exchange.Declare(exchange=name, **options)
    client.send(command_frame(command, 1, arguments or {}))
    close = client.read(commands.Channel.Close)
    client.send_command(commands.Channel.CloseOk())
    client.open_channel()
    return f"{close.reply_code} {close.reply_text.partition(' - ')[2]}"


def exchanges(client: MemoryClient) -> set[str]:
    found = client.broker.vhosts["/"].exchanges
    return {name for name in found if name and not name.startswith("amq.")}


def test_the_same_again_is_fine(client: MemoryClient) -> None:
    for _ in range(2):
        declare(client, "x", exchange_type="topic", durable=True)
    declare(client, "x", passive=True)
    assert exchanges(client) == {"x"}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"exchange_type": "fanout"}, "'type' for {}: received 'fanout' but current is 'direct'"),
        ({"durable": True}, "'durable' for {}: received 'true' but current is 'false'"),
        ({"auto_delete": True}, "'auto_delete' for {}: received 'true' but current is 'false'"),
        ({"internal": True}, "'internal' for {}: received 'true' but current is 'false'"),
    ],
)
def test_something_else_under_the_name(
    client: MemoryClient, options: dict[str, Any], text: str
) -> None:
    declare(client, "x")
    where = "exchange 'x' in vhost '/'"
    assert refused(client, "x", **options) == f"406 inequivalent arg {text.format(where)}"


def test_names_that_are_taken(client: MemoryClient) -> None:
    assert refused(client, "") == "403 operation not permitted on the default exchange"
    text = "403 exchange name 'amq.mine' contains reserved prefix 'amq.*'"
    assert refused(client, "amq.mine") == text
    assert refused(client, "no", passive=True) == "404 no exchange 'no' in vhost '/'"
    assert refused(client, "x", exchange_type="odd") == "406 unknown exchange type 'odd'"
    assert not exchanges(client)


def test_line_ends_are_not_part_of_a_name(client: MemoryClient) -> None:
    for name in ("x\r\n", "x"):
        arguments = shortstr("") + shortstr(name) + shortstr("direct") + bytes(5)
        client.send(method_frame(1, 40, 10, b"\0\0" + arguments[1:]))
        client.read(commands.Exchange.DeclareOk)
    assert exchanges(client) == {"x"}


def test_deleting(client: MemoryClient) -> None:
    declare(client, "x")
    client.bind(client.declare("q"), "x", "k")
    client.send_command(commands.Exchange.Delete(exchange="x", if_unused=True))
    text = "PRECONDITION_FAILED - exchange 'x' in vhost '/' in use"
    client.expect_channel_error(406, text, (40, 20))
    client.open_channel()
    for _ in range(2):
        client.call(commands.Exchange.Delete(exchange="x"), commands.Exchange.DeleteOk)
    assert not exchanges(client)


def test_ours_are_not_deleted(client: MemoryClient) -> None:
    client.send_command(commands.Exchange.Delete(exchange="amq.topic"))
    text = "ACCESS_REFUSED - deletion of system exchange 'amq.topic' in vhost '/' not allowed"
    client.expect_channel_error(403, text, (40, 20))


def test_nowait_means_silence(client: MemoryClient) -> None:
    client.send_command(commands.Exchange.Declare(exchange="x", nowait=True))
    client.send_command(commands.Exchange.Declare(exchange="y", nowait=True))
    bind = commands.Exchange.Bind(destination="y", source="x", nowait=True)
    client.send_command(bind)
    assert exchanges(client) == {"x", "y"}
    assert client.broker.vhosts["/"].exchanges["x"].bound_exchanges == {"y": 1}
    client.send_command(commands.Exchange.Unbind(destination="y", source="x", nowait=True))
    client.send_command(commands.Exchange.Delete(exchange="x", nowait=True))
    assert exchanges(client) == {"y"}
    assert client.is_silent


def test_an_alternate_exchange_needs_rights_on_both(client: MemoryClient) -> None:
    declare(client, "x", {"alternate-exchange": ("S", b"amq.fanout")})
    client.bind(client.declare("q"), "amq.fanout")
    client.publish("k", b"1", exchange="x")
    assert client.get_all("q") == [b"1"]
    text = "406 invalid type 'signedint' for arg 'alternate-exchange' in exchange 'y' in vhost '/'"
    assert refused(client, "y", {"alternate-exchange": ("I", 1)}) == text
