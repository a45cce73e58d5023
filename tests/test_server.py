"""The shell around the domain, over real sockets, with the server in this process.

The server runs in a thread of its own and the tests use a blocking client, so a client that does
not read is simply one that the test does not read from.
"""

from __future__ import annotations

import socket
import ssl
from collections import deque
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trustme
from anyio.from_thread import start_blocking_portal
from pamqp import commands

from amqpbroker import server as server_module
from amqpbroker.broker import session as session_module
from amqpbroker.broker.broker import Broker
from amqpbroker.broker.paging import Pager
from amqpbroker.broker.session import OUTGOING_SIZE_MAX, Session
from amqpbroker.config import Config
from amqpbroker.server import Server, ready_line, run
from amqpbroker.storage.memory import MemoryLog
from amqpbroker.turns import READ_SIZE_MAX
from amqpbroker.wire.connection import HEARTBEAT
from tests.amqp_bytes import PROTOCOL_HEADER
from tests.helpers import DEADLINE_S, RunningBroker
from tests.raw_client import RawClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from anyio.from_thread import BlockingPortal

BIG = bytes(200_000)


class Running:
    """A server in a thread, and clients of it."""

    def __init__(self, server: Server, portal: BlockingPortal) -> None:
        self.server = server
        self.portal = portal
        self.served = portal.start_task_soon(server.serve)
        self.address = RunningBroker("127.0.0.1", server.amqp_port, 0)
        self.clients: list[RawClient] = []

    def dial(self) -> RawClient:
        """Return a client that has said nothing yet."""
        self.clients.append(RawClient(self.address))
        return self.clients[-1]

    def connect(self, heartbeat: int = 0) -> RawClient:
        """Return a client with channel 1 open."""
        client = self.dial()
        client.login()
        client.tune_ok(heartbeat=heartbeat)
        client.open()
        client.open_channel()
        return client

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call something in the server's thread."""
        return self.portal.call(function, *arguments)

    def drain(self) -> None:
        """Drain until nothing is left; fail if that takes long."""

        async def drain() -> None:
            with anyio.fail_after(DEADLINE_S):
                await self.server.drain()

        self.call(drain)
        self.served.result(DEADLINE_S)

    def tick_later(self, delay_s: float) -> None:
        """Have all connections look at a clock that is ahead."""

        def tick() -> None:
            for connection in list(self.server.connections):
                connection.tick(anyio.current_time() + delay_s)

        self.call(tick)

    def wait_until_all_are_gone(self) -> None:
        """Return when the server serves nobody any more."""

        async def wait() -> None:
            with anyio.fail_after(DEADLINE_S):
                while self.server.connections:
                    self.server._idle = anyio.Event()
                    await self.server._idle.wait()

        self.call(wait)


@contextmanager
def serve(use_uvloop: bool = False, **settings: Any) -> Iterator[Running]:
    """Run a server on free ports; it is drained at the end."""
    options = {"is_memory": True, "port": 0, "management_port": None, **settings}
    broker = Broker(Config(**options))
    broker.add_defaults()
    with start_blocking_portal("asyncio", {"use_uvloop": use_uvloop}) as portal:

        async def open_server() -> Server:
            server = Server(broker.config, broker)
            await server.listen()
            return server

        running = Running(portal.call(open_server), portal)
        try:
            yield running
        finally:
            for client in running.clients:
                client.close()
            running.drain()


@pytest.fixture
def running() -> Iterator[Running]:
    """A server with ordinary settings."""
    with serve() as running:
        yield running


@pytest.fixture
def _fast_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "TICK_S", 0.02)


def stall(running: Running) -> tuple[RawClient, RawClient]:
    """Return a client that has not read what was delivered to it, and its publisher."""
    stuck, publisher = running.connect(), running.connect()
    stuck.consume(stuck.declare("q"), no_ack=True)
    queue = running.server.broker.vhosts["/"].queues["q"]
    while not queue.ready:
        publisher.publish("q", *[BIG] * 5)
        publisher.counts("q")
    return stuck, publisher


@pytest.mark.parametrize("use_uvloop", [False, True])
def test_a_client_is_served(use_uvloop: bool) -> None:
    with serve(use_uvloop) as running:
        client = running.connect()
        client.publish(client.declare("q"), b"1", BIG)
        assert client.get_all("q") == [b"1", BIG]
        client.close_connection()
        running.wait_until_all_are_gone()
        assert not running.server.broker.sessions


def test_the_ready_line_tells_where() -> None:
    with serve() as running:
        assert ready_line(running.server) == f"ready amqp=127.0.0.1:{running.address.port}"


def test_connections_have_rabbitmqs_names(running: Running) -> None:
    client = running.connect()
    (session,) = running.server.broker.sessions
    host, port = client._socket.getsockname()
    assert session.name == f"{host}:{port} -> {host}:{running.address.port}"
    assert session.peer.is_loopback


def test_a_wrong_protocol_is_told_ours_and_hung_up_on(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    client = running.dial()
    client.send(b"GET / HTTP/1.1\r\n\r\n" * 100)
    assert client.receive_to_end() == PROTOCOL_HEADER
    assert len([line for line in caplog.messages if "bad protocol header" in line]) == 1


def test_a_client_that_vanishes_gives_everything_back(running: Running) -> None:
    gone, other = running.connect(), running.connect()
    gone.declare("mine", exclusive=True)
    gone.consume(gone.declare("q"))
    other.publish("q", b"1")
    assert gone.deliver().body == b"1"
    other.consume("q")
    gone.abort()
    message = other.deliver()
    assert (message.body, message.redelivered) == (b"1", True)
    assert list(running.server.broker.vhosts["/"].queues) == ["q"]


def test_an_error_is_told_before_the_socket_closes(running: Running) -> None:
    client = running.connect()
    client.send_command(commands.Basic.Qos(prefetch_size=1))
    client.expect_connection_error(540, "NOT_IMPLEMENTED - prefetch_size!=0 (1)", (60, 10))
    assert client.receive_to_end() == b""
    running.wait_until_all_are_gone()


# time


@pytest.mark.usefixtures("_fast_ticks")
def test_a_client_must_say_something_in_time() -> None:
    with serve(handshake_timeout_s=0.05) as running:
        assert running.dial().receive_to_end() == b""


@pytest.mark.usefixtures("_fast_ticks")
def test_all_of_many_clients_are_looked_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "TICK_COUNT", 2)
    with serve(handshake_timeout_s=0.05) as running:
        clients = [running.dial() for _ in range(5)]
        assert [client.receive_to_end() for client in clients] == [b""] * 5


def test_bytes_one_at_a_time_buy_no_time(running: Running) -> None:
    slow = running.dial()
    timeout_s = running.server.config.handshake_timeout_s
    for position, at_s in enumerate((0.25, 0.5, 0.75)):
        slow.send(PROTOCOL_HEADER[position : position + 1])
        running.tick_later(timeout_s * at_s)
    running.tick_later(timeout_s + 1)
    assert slow.receive_to_end() == b""


def test_a_client_must_come_through_the_handshake_in_time(running: Running) -> None:
    slow, through = running.dial(), running.connect()
    slow.start()
    running.tick_later(running.server.config.handshake_timeout_s + 1)
    assert slow.receive_to_end() == b""
    through.declare("q")


@pytest.mark.usefixtures("_fast_ticks")
def test_heartbeats_are_sent(running: Running) -> None:
    assert running.connect(heartbeat=1).receive(8) == HEARTBEAT


def test_missed_heartbeats_end_a_connection(running: Running) -> None:
    client, other = running.connect(heartbeat=10), running.connect()
    running.tick_later(19)
    client.declare("q")
    running.tick_later(21)
    client.receive_to_end()
    assert other.counts("q") == (0, 0)


def test_heartbeats_do_not_pile_up_for_a_client_that_does_not_read(running: Running) -> None:
    stall(running)
    connections = [item for item in running.server.connections if item.session.wire.outgoing]
    (connection,) = connections
    connection.session.heartbeat_s = 10

    def grown() -> int:
        size = connection.session.wire.outgoing_size
        for second in range(6, 16):
            connection.tick(connection.written_at + second)
        return connection.session.wire.outgoing_size - size

    assert running.call(grown) == 0


def test_a_stuck_client_is_cut_off_with_all_it_holds(running: Running) -> None:
    stuck, _ = stall(running)
    for connection in running.server.connections:
        connection.session.heartbeat_s = 10
    running.tick_later(21)
    running.wait_until_all_are_gone()
    assert not len(running.server.broker.vhosts["/"].queues["q"].consumers)
    stuck.close()


def test_a_client_that_does_not_confirm_a_close_is_cut_off(running: Running) -> None:
    client = running.connect()
    client.send_command(commands.Basic.Qos(prefetch_size=1))
    client.read_close(540)
    running.tick_later(server_module.CLOSE_TIMEOUT_S + 1)
    assert client.receive_to_end() == b""


def test_a_client_that_hangs_up_without_reading_is_cut_off(running: Running) -> None:
    stuck, publisher = stall(running)
    stuck.send_command(commands.Connection.Close(200, "", 0, 0), 0)
    while len(running.server.broker.vhosts["/"].queues["q"].consumers):
        publisher.counts("q")
    publisher.close_connection()
    running.tick_later(server_module.CLOSE_TIMEOUT_S + 1)
    running.wait_until_all_are_gone()


# what does not fit


def test_a_client_that_does_not_read_keeps_nobody_waiting(running: Running) -> None:
    stuck, publisher = stall(running)
    reader = running.connect()
    reader.consume(reader.declare("other"))
    publisher.publish("other", b"1", b"2")
    assert reader.delivers(2) == [b"1", b"2"]
    sizes = [session.wire.outgoing_size for session in running.server.broker.sessions]
    assert max(sizes) < OUTGOING_SIZE_MAX + 2 * len(BIG)
    queue = running.server.broker.vhosts["/"].queues["q"]
    ready = len(queue.ready)
    assert ready
    for _ in range(ready + 1):
        assert stuck.deliver().body == BIG
    publisher.publish("q", b"last")
    while stuck.deliver().body == BIG:
        pass
    assert not queue.ready


def test_what_comes_back_unread_stops_the_reading(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "OUTGOING_STOP_SIZE", 1000)
    client, other = running.connect(), running.connect()
    client._socket.settimeout(0.2)
    flood = iter(lambda: client.publish("nowhere", BIG, mandatory=True), "never")
    with pytest.raises(TimeoutError):
        deque(flood, maxlen=0)
    sizes = [session.wire.outgoing_size for session in running.server.broker.sessions]
    assert max(sizes) < 3 * READ_SIZE_MAX
    other.declare("q")
    client._socket.settimeout(DEADLINE_S)
    assert client.read_message(commands.Basic.Return).body == BIG


def test_an_alarm_stops_publishers_only(running: Running) -> None:
    publisher, consumer = running.connect(), running.connect()
    alarms = running.server.broker.alarms
    running.call(alarms.set, "memory", "test", True)
    publisher.publish(publisher.declare("q"), b"1")
    assert publisher.read(commands.Connection.Blocked, 0).reason == "low on memory"
    publisher.publish("q", b"2")
    consumer.consume("q")
    assert consumer.deliver().body == b"1"
    running.tick_later(0)
    running.call(alarms.set, "memory", "test", False)
    publisher.read(commands.Connection.Unblocked, 0)
    assert consumer.deliver().body == b"2"


def test_a_publisher_waits_while_its_messages_are_not_spilled(running: Running) -> None:
    publisher, consumer = running.connect(), running.connect()
    pager = Pager(MemoryLog(), 1 << 20)
    spill = running.server.broker.spill = pager.spill
    spill.is_behind = True
    publisher.publish(publisher.declare("q"), b"1")
    consumer.consume("q")
    assert consumer.deliver().body == b"1"
    publisher.publish("q", b"2")
    assert consumer.counts("q") == (0, 1)
    spill.is_behind = False
    running.call(spill._caught_up.set)
    assert consumer.deliver().body == b"2"


def test_a_publisher_that_waits_for_an_alarm_can_be_closed(running: Running) -> None:
    publisher = running.connect()
    running.call(running.server.broker.alarms.set, "memory", "test", True)
    publisher.publish("q", b"1")
    publisher.read(commands.Connection.Blocked, 0)
    (session,) = running.server.broker.sessions

    def close() -> None:
        session.force_close("enough")
        running.server.broker.flush()

    running.call(close)
    publisher.expect_connection_error(320, "CONNECTION_FORCED - enough")
    assert publisher.receive_to_end() == b""


# what goes wrong


def test_a_bug_in_one_connection_does_not_reach_others(
    running: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client, other = running.connect(), running.connect()

    async def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Session, "receive", broken)
    client.send(HEARTBEAT)
    assert client.receive_to_end() == b""
    monkeypatch.undo()
    other.declare("q")
    assert "internal error, connection dropped" in caplog.messages
    assert "RuntimeError: a bug" in caplog.text


def test_a_socket_that_cannot_be_looked_at_does_not_end_the_server(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError("socket is gone")

    monkeypatch.setattr(server_module, "client_certificate", broken)
    assert running.dial().receive_to_end() == b""
    monkeypatch.undo()
    running.connect()


async def test_listeners_are_closed_if_not_all_can_be_opened() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = Config(is_memory=True, port=0, management_port=port)
        server = Server(config, Broker(config))
        with pytest.raises(OSError, match="in use"):
            await server.listen()
        with socket.create_server(("127.0.0.1", server.amqp_port)):
            pass


def test_a_port_that_is_taken_is_exit_code_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(Config(is_memory=True, port=port, management_port=None)) == 1


# drain


def test_a_drain_tells_clients_and_ends(running: Running) -> None:
    client, half = running.connect(), running.dial()
    half.start()
    future = running.portal.start_task_soon(running.server.drain)
    client.expect_connection_error(
        320, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"
    )
    assert client.receive_to_end() == b""
    assert half.receive_to_end() == b""
    future.result(DEADLINE_S)
    with pytest.raises(ConnectionRefusedError):
        running.dial()


def test_a_drain_does_not_wait_for_ever(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "CLOSE_TIMEOUT_S", 0.05)
    stuck, _ = stall(running)
    running.drain()
    assert not running.server.connections
    stuck.close()


def test_a_client_that_comes_during_a_drain_is_hung_up_on(running: Running) -> None:
    running.server._is_draining = True
    assert running.dial().receive_to_end() == b""


# TLS


@pytest.fixture
def authority() -> trustme.CA:
    """Who signs the certificates of a test."""
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA, tmp_path: Path) -> Iterator[Running]:
    """A server that also listens on a TLS port."""
    certificate = authority.issue_cert("127.0.0.1")
    cert, key, ca = (tmp_path / name for name in ("cert.pem", "key.pem", "ca.pem"))
    certificate.private_key_pem.write_to_path(key)
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(cert, append=True)
    authority.cert_pem.write_to_path(ca)
    mechanisms = "PLAIN,EXTERNAL"
    with serve(
        tls_port=0, tls_cert=cert, tls_key=key, tls_ca=ca, auth_mechanisms=mechanisms
    ) as running:
        yield running


def tls_client(running: Running, context: ssl.SSLContext) -> RawClient:
    """Return a client on the TLS port that has said nothing yet."""
    port = running.server.amqps_port
    assert port is not None
    client = RawClient(RunningBroker("127.0.0.1", port, 0))
    running.clients.append(client)
    client._socket = context.wrap_socket(client._socket, server_hostname="127.0.0.1")
    return client


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


def test_a_client_is_served_over_tls(secure: Running, authority: trustme.CA) -> None:
    client = tls_client(secure, trusting(authority))
    client.login()
    client.tune_ok()
    client.open()
    client.open_channel()
    client.publish(client.declare("q"), BIG)
    assert client.get_all("q") == [BIG]
    client.close_connection()
    assert ready_line(secure.server).endswith(f" amqps=127.0.0.1:{secure.server.amqps_port}")


def test_a_certificate_is_a_login(secure: Running, authority: trustme.CA) -> None:
    context = trusting(authority)
    authority.issue_cert("ann.example", common_name="guest").configure_cert(context)
    client = tls_client(secure, context)
    assert client.start().mechanisms == "PLAIN EXTERNAL"
    (session,) = secure.server.broker.sessions
    assert session.peer.certificate is not None
    users = secure.server.broker.users
    users.add_user(session.peer.certificate.distinguished_name, None)
    client.start_ok("", "EXTERNAL")
    client.read(commands.Connection.Tune, 0)


def serial_number(client: RawClient) -> int:
    """Return the number of the certificate that the server showed."""
    assert isinstance(client._socket, ssl.SSLSocket)
    shown = client._socket.getpeercert()
    assert shown is not None
    return int(str(shown["serialNumber"]), 16)


@pytest.mark.parametrize("is_told", [False, True])
def test_a_new_certificate_is_shown_to_clients_to_come(
    secure: Running, authority: trustme.CA, is_told: bool
) -> None:
    # A16.3
    old = tls_client(secure, trusting(authority))
    old.login()
    config = secure.server.config
    assert config.tls_cert is not None
    assert config.tls_key is not None
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(config.tls_key)
    issued.cert_chain_pems[0].write_to_path(config.tls_cert)
    secure.call(partial(secure.server.check_certificate, is_changed=is_told))
    new = tls_client(secure, trusting(authority))
    new.login()
    assert serial_number(new) != serial_number(old)
    old.tune_ok()
    old.open()


def test_a_stranger_with_a_certificate_is_hung_up_on(
    secure: Running, authority: trustme.CA
) -> None:
    context = trusting(authority)
    trustme.CA().issue_cert("x.example", common_name="guest").configure_cert(context)
    try:
        ended = tls_client(secure, context).receive_to_end()
    except ssl.SSLError:
        ended = b""
    assert ended == b""
    tls_client(secure, trusting(authority)).login()


def test_without_a_certificate_external_is_not_offered(
    secure: Running, authority: trustme.CA
) -> None:
    assert tls_client(secure, trusting(authority)).start().mechanisms == "PLAIN"


def test_what_is_not_tls_is_hung_up_on(secure: Running, authority: trustme.CA) -> None:
    port = secure.server.amqps_port
    assert port is not None
    plain = RawClient(RunningBroker("127.0.0.1", port, 0))
    secure.clients.append(plain)
    plain.send(PROTOCOL_HEADER)
    assert PROTOCOL_HEADER not in plain.receive_to_end()
    tls_client(secure, trusting(authority)).start()


def test_bytes_that_are_no_tls_any_more_end_one_connection(
    secure: Running, authority: trustme.CA
) -> None:
    client = tls_client(secure, trusting(authority))
    client.login()
    with socket.socket(fileno=client._socket.detach()) as raw:
        raw.settimeout(DEADLINE_S)
        raw.sendall(b"this is no TLS record")
        while raw.recv(65536):
            pass
    tls_client(secure, trusting(authority)).login()


def test_a_health_check_leaves_no_line(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    # A1.16
    with socket.create_connection(("127.0.0.1", running.server.amqp_port), DEADLINE_S):
        pass
    running.dial().login()
    assert not [line for line in caplog.messages if "closed the socket" in line]
