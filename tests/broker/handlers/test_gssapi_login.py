"""A step of a login that may block: a thread does it, and the session waits (FEATURES A1.6)."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from pamqp import commands

from amqpbroker.auth.exceptions import AuthenticationFailed
from amqpbroker.auth.sasl.gssapi import GssapiLogin
from interop.fuzz.targets.sasl import Ticket
from tests.broker.client import MemoryClient, make_broker

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker

Challenge = commands.Connection.Secure


class ThreadTicket(Ticket):
    """Takes note of the threads in which it is asked."""

    threads: list[int]

    def accept(self, token: bytes) -> bytes:
        self.threads.append(threading.get_ident())
        if token == b"expired":
            raise AuthenticationFailed("", "Kerberos: Ticket expired")
        return super().accept(token)


class LaterClient(MemoryClient):
    """Lets the test handle what was sent, in the event loop."""

    sent = b""

    def send(self, data: bytes) -> None:
        self.sent += data

    async def handled(self) -> None:
        """Have the session handle what was sent."""
        data, self.sent = self.sent, b""
        await self.session.receive(data)
        self.broker.flush()


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    monkeypatch.setattr(ThreadTicket, "threads", [], raising=False)
    broker = make_broker(auth_mechanisms=("GSSAPI", "PLAIN"))
    broker.sasl = replace(broker.sasl, gssapi=GssapiLogin(ThreadTicket))
    return broker


async def begin(broker: Broker, token: str) -> LaterClient:
    """Send the first token, and have it handled."""
    client = LaterClient(broker)
    client.send(b"AMQP\0\0\x09\x01")
    await client.handled()
    assert client.read(commands.Connection.Start, 0).mechanisms == "GSSAPI PLAIN"
    client.start_ok(token, "GSSAPI")
    await client.handled()
    return client


async def test_a_ticket_is_looked_at_in_a_thread(broker: Broker) -> None:
    client = await begin(broker, "guest@R")
    assert ThreadTicket.threads != [threading.get_ident()]
    assert client.read(Challenge, 0).challenge == "g"
    for response in ("", "\x01\0\0\0"):
        client.send_command(commands.Connection.SecureOk(response), 0)
    await client.handled()
    client.read(Challenge, 0)
    client.read(commands.Connection.Tune, 0)
    principal = client.session.principal
    assert principal is not None
    assert (principal.username, client.session.mechanism) == ("guest", "GSSAPI")


async def test_nothing_is_handled_before_the_thread_is_done(broker: Broker) -> None:
    client = LaterClient(broker)
    client.send(b"AMQP\0\0\x09\x01")
    client.start_ok("more", "GSSAPI")
    for response in ("guest@R", "", "\x01\0\0\0"):
        client.send_command(commands.Connection.SecureOk(response), 0)
    await client.handled()
    assert client.session.principal is not None
    assert len(ThreadTicket.threads) == 2


@pytest.mark.parametrize("token", ["expired", "guest@ELSEWHERE", "guest"])
async def test_a_ticket_that_is_no_good_is_a_failed_login(broker: Broker, token: str) -> None:
    client = await begin(broker, token)
    assert ThreadTicket.threads
    assert "authentication mechanism GSSAPI." in client.read_close(403)[1]


async def test_a_principal_without_a_user_is_refused(broker: Broker) -> None:
    client = await begin(broker, "nobody@R")
    for response in ("", "\x01\0\0\0"):
        client.send_command(commands.Connection.SecureOk(response), 0)
    await client.handled()
    for _ in range(2):
        client.read(Challenge, 0)
    client.read_close(403)
