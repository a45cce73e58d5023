"""Opening, closing and the modes of a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import commands

if TYPE_CHECKING:
    from tests.broker.client import MemoryClient


def test_opening_and_closing(client: MemoryClient) -> None:
    client.open_channel(7)
    assert sorted(client.session.channels) == [1, 7]
    client.close_channel(7)
    assert sorted(client.session.channels) == [1]


def test_flow_may_only_go_on(client: MemoryClient) -> None:
    assert client.call(commands.Channel.Flow(True), commands.Channel.FlowOk).active
    client.send_command(commands.Channel.Flow(False))
    client.expect_connection_error(540, "NOT_IMPLEMENTED - active=false", (20, 20))


def test_a_ticket_for_everybody(client: MemoryClient) -> None:
    client.send(b"\x01\x00\x01\x00\x00\x00\x0b\x00\x1e\x00\x0a\x05/data\x00\xce")
    assert client.read_frame().payload == b"\x00\x1e\x00\x0b\x00\x01"


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        (commands.Confirm.Select(), commands.Tx.Select(), "confirm to tx"),
        (commands.Tx.Select(), commands.Confirm.Select(), "tx to confirm"),
    ],
)
def test_a_channel_has_one_mode(
    client: MemoryClient,
    first: commands.Confirm.Select | commands.Tx.Select,
    second: commands.Confirm.Select | commands.Tx.Select,
    text: str,
) -> None:
    client.send_command(first)
    client.read_frame()
    client.send_command(first)
    client.read_frame()
    client.send_command(second)
    close = client.read(commands.Channel.Close)
    assert close.reply_text == f"PRECONDITION_FAILED - cannot switch from {text} mode"


def test_confirm_select_without_answer(client: MemoryClient) -> None:
    client.send_command(commands.Confirm.Select(nowait=True))
    assert client.is_silent
    assert client.channel().confirms is not None


@pytest.mark.parametrize("command", [commands.Tx.Commit(), commands.Tx.Rollback()])
def test_a_transaction_must_be_there(
    client: MemoryClient, command: commands.Tx.Commit | commands.Tx.Rollback
) -> None:
    client.send_command(command)
    close = client.read(commands.Channel.Close)
    assert close.reply_text == "PRECONDITION_FAILED - channel is not transactional"


def test_selecting_tx_twice_keeps_what_was_published(client: MemoryClient) -> None:
    client.declare("q")
    for _ in range(2):
        client.call(commands.Tx.Select(), commands.Tx.SelectOk)
        client.publish("q", b"x")
    client.call(commands.Tx.Commit(), commands.Tx.CommitOk)
    assert client.get_all("q") == [b"x", b"x"]


def test_a_method_that_only_a_server_sends(client: MemoryClient) -> None:
    client.send_command(commands.Basic.QosOk())
    client.expect_connection_error(503, "COMMAND_INVALID - unimplemented method", (60, 11))
