"""The I/O shell: listeners, TLS, a reader and a writer per connection, heartbeats, drain.

A reader feeds the session what it reads and ends each batch with ``broker.flush``, which wakes the
writers of all sessions that got something; small batches pass both tasks (ADR 0004). A writer sends
what its session has piled up; while a slow client keeps it waiting, the session fills up and
consumers of that connection get nothing more, but nobody else waits (FEATURES A17.4). One ticker
looks after all heartbeats and deadlines.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import anyio
import anyio.lowlevel
from anyio.abc import SocketAttribute

from amqpbroker import management
from amqpbroker.auth.sasl.mechanism import Peer
from amqpbroker.auth.server_certificate import ServerCertificate
from amqpbroker.auth.tls import TlsOptions, client_certificate, is_encrypted
from amqpbroker.broker.opening import open_broker
from amqpbroker.broker.rates import has_rates, read_size
from amqpbroker.broker.session import Session
from amqpbroker.definitions import DefinitionsError, import_at_start
from amqpbroker.definitions.sources import source_name
from amqpbroker.gate import Gate, GatedListener, connection_count_max, raise_descriptor_limit
from amqpbroker.gathering import Gathering
from amqpbroker.log_format import log_to_stderr
from amqpbroker.logins import open_chain, open_gssapi
from amqpbroker.memory import MemoryReturner, calm_collector, pause_collector
from amqpbroker.progress import WorkProgress
from amqpbroker.proxy_protocol import ProxyListener, proxied_addresses
from amqpbroker.resources import ResourceMonitor
from amqpbroker.storage.catalog import CatalogError
from amqpbroker.storage.log import LogError
from amqpbroker.tcp_stream import TcpStream, listen
from amqpbroker.tls_listener import AmqpsListener
from amqpbroker.turns import READ_SIZE_MAX, READ_SIZE_MIN, Turn, Turns
from amqpbroker.wire.connection import HEARTBEAT, State

if TYPE_CHECKING:
    from anyio.abc import ByteStream, Listener, TaskGroup

    from amqpbroker.broker.broker import Broker
    from amqpbroker.broker.spill import Spill
    from amqpbroker.config import Config

logger = logging.getLogger("amqpbroker.server")

CLOSE_TIMEOUT_S: Final = 10.0
"""How long a closed client may take to confirm and hang up (T15)."""
TICK_S: Final = 0.5
TICK_COUNT: Final = 256
"""Connections looked after in one go: a quarter of a millisecond."""
SHUTDOWN: Final = "broker forced connection closure with reason 'shutdown'"
GONE: Final = (
    anyio.EndOfStream,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    OSError,
)
"""What reading and writing raise once the client is away; an ssl.SSLError is an OSError."""


class ClientConnection:
    """One accepted socket with its session."""

    def __init__(self, server: Server, stream: ByteStream) -> None:
        local = _address(stream.extra(SocketAttribute.local_address, ("?", 0)))
        remote = _address(stream.extra(SocketAttribute.remote_address, ("?", 0)))
        is_loopback = _is_loopback(remote)
        proxied = proxied_addresses(stream)
        if proxied is not None:
            local, remote = _address(proxied.local), _address(proxied.remote)
            # Not by hearsay alone: whoever reaches the port could say to be on this machine.
            is_loopback = is_loopback and _is_loopback(remote)
        peer = Peer(
            is_loopback,
            client_certificate(stream),
            remote.rpartition(":")[0],
            is_encrypted(stream),
        )
        self.session = Session(
            server.broker, name=f"{remote} -> {local}", peer=peer, wake=self._wake
        )
        self.session.until_written = self._until_written
        self.scope = anyio.CancelScope()
        self._time = asyncio.get_running_loop().time
        """What anyio.current_time() returns, without a search for the event loop."""
        self.deadline_at = self._time() + server.config.handshake_timeout_s
        """When the connection is cut, unless it has got further by then."""
        self.read_at = self.written_at = self._time()
        self._stream = stream
        self._tcp = stream if isinstance(stream, TcpStream) else None
        """Where it may be written past the stream: TLS must see all bytes."""
        self._server = server
        self._blocked: anyio.CancelScope | None = None
        """While reading waits for an alarm to end, or for the publisher's rate."""
        self._turn = Turn(server.turns)
        self._gathering = Gathering()
        self._is_silent = True
        """Nothing has come yet: a health check goes again like this."""
        self._is_writing = False
        """The writer task is sending: nobody may write past it."""
        self._to_write = anyio.Event()
        self._written: anyio.Event | None = None
        """While somebody waits until the client has read."""

    def _wake(self) -> None:
        """Have what is piled up written: at once if the socket takes it, else by the writer."""
        session = self.session
        wire = session.wire
        if self._tcp is not None and not self._is_writing:
            data = wire.data_to_send()
            if data:
                count = self._tcp.write_now(data)
                if count < len(data):
                    wire.unsend(data[count:])
                self._has_written()
            if wire.outgoing or session.is_finished or session.stalled_consumers:
                self._to_write.set()
        else:
            self._to_write.set()
        if self._blocked is not None and wire.state is not State.RUNNING:
            self._blocked.cancel()

    def _has_written(self) -> None:
        self.written_at = self._time()
        if self._written is not None:
            self._written.set()

    async def run(self) -> None:
        """Serve the client until it is gone, or until ``scope`` cuts it off.

        When nothing more will be read the writer still sends what is left, for as long as the
        deadline allows.
        """
        try:
            with self.scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._write, tasks.cancel_scope)
                    if self._tcp is not None:
                        self._tcp.taker = self._take
                    await self._read()
                    self._finish()
        finally:
            if self._tcp is not None:
                self._tcp.taker = None
            self._finish()

    def _finish(self) -> None:
        """Give up what the client held."""
        session = self.session
        state = session.wire.state
        is_expected = state in (State.CLOSING, State.CLOSED) or self.scope.cancel_called
        is_expected = is_expected or self._is_silent
        if not session.is_finished and not is_expected:
            logger.warning("%s: client closed the socket in state %s", session.name, state.value)
        session.finish()
        self._turn.rest()
        self._server.broker.flush()

    async def _read(self) -> None:
        session, broker = self.session, self._server.broker
        turn = self._turn
        while not session.is_finished:
            size = turn.size(session.vhost)
            try:
                data = await self._stream.receive(size)
            except GONE:
                return
            self.read_at = self._time()
            self._is_silent = False
            await session.receive(data)
            broker.flush()
            turn.used(len(data), size, session.vhost, self.read_at)
            if session.published_count:
                count, session.published_count = session.published_count, 0
                if broker.alarms and not session.is_finished:
                    await self._wait_for_resources()
                if broker.spill is not None and broker.spill.is_behind:
                    await self._wait_for_spill(broker.spill)
                if has_rates(session):
                    await self._wait_for_rates(count, len(data))
                else:
                    turn.size_max = READ_SIZE_MAX
                share = len(data) / size
                pause_s = self._gathering.pause_s(count, share, self.read_at, self.written_at)
                if pause_s:
                    await self._gather(pause_s)

    def _take(self, data: bytes) -> bytes | None:
        """Handle what has come without waking the reader, if it is a small message like the last.

        At a rate where each message is read by itself this halves the time that it is here. Returns
        what is left for the reader, None if it need not wake up. Whoever has limits or sends much
        has each read accounted for, by the reader.
        """
        session, broker = self.session, self._server.broker
        if len(data) > READ_SIZE_MIN or session.is_finished or has_rates(session):
            return data
        if not session.receive_repeat(data):
            return data
        broker.flush()
        self.read_at = self._time()
        self._turn.used(len(data), self._turn.size(session.vhost), session.vhost, self.read_at)
        is_behind = broker.spill is not None and broker.spill.is_behind
        if is_behind or broker.alarms:
            session.published_count += 1
            return b""
        return None

    async def _gather(self, pause_s: float) -> None:
        """Let more come before the next read."""
        tcp = getattr(self._stream, "transport_stream", self._stream)
        if isinstance(tcp, TcpStream):
            tcp.pause()
        await anyio.sleep(pause_s)

    async def _wait_for_spill(self, spill: Spill) -> None:
        """Read nothing from a publisher while the disk takes in what was published."""
        if self.session.is_finished or self.session.wire.state is not State.RUNNING:
            return
        with anyio.CancelScope() as self._blocked:
            await spill.catch_up()
        self._blocked = None
        self.read_at = self._time()

    async def _wait_for_rates(self, message_count: int, size: int) -> None:
        """Read nothing from a publisher that is faster than its vhost or its user may be."""
        session, rates = self.session, self._server.broker.rates
        delay_s = rates.delay_s(session, message_count, size, self._time())
        self._turn.size_max = READ_SIZE_MAX if delay_s is None else read_size(session)
        if not delay_s or session.wire.state is not State.RUNNING:
            return
        with anyio.CancelScope() as self._blocked:
            while delay_s:
                await anyio.sleep(delay_s)
                delay_s = rates.delay_s(session, 0, 0, self._time())
        self._blocked = None
        self.read_at = self._time()

    async def _until_written(self) -> None:
        """Wait for a client that does not read what it has asked for."""
        session = self.session
        while session.is_overfull and not session.is_finished:
            self._written = anyio.Event()
            await self._written.wait()
        self._written = None

    async def _wait_for_resources(self) -> None:
        """Read nothing from a publisher while an alarm is on, unless it is closed (A1.15)."""
        alarms = self._server.broker.alarms
        with anyio.CancelScope() as self._blocked:
            self.session.blocked(alarms.reason)
            self._server.broker.flush()
            await alarms.wait_until_clear()
        self._blocked = None
        self.read_at = self._time()
        self.session.unblocked()
        self._server.broker.flush()

    async def _write(self, connection: anyio.CancelScope) -> None:
        """Send what the session piles up; end the connection when there is no more to send."""
        session = self.session
        wire = session.wire
        try:
            while wire.outgoing or not session.is_finished:
                if wire.outgoing:
                    self._is_writing = True
                    await self._stream.send(wire.data_to_send())
                    self._has_written()
                    self._is_writing = False
                if session.stalled_consumers:
                    session.drained()
                    self._server.broker.flush()
                elif not wire.outgoing and not session.is_finished:
                    await self._to_write.wait()
                    self._to_write = anyio.Event()
        except GONE:
            pass
        connection.cancel()

    def tick(self, now: float) -> None:
        """Keep heartbeats and deadlines (FEATURES A1.11, A1.16)."""
        session = self.session
        state = session.wire.state
        self._turn.tick(now)
        if state is State.RUNNING and not session.is_finished:
            self.deadline_at = now + CLOSE_TIMEOUT_S
            heartbeat_s = session.heartbeat_s
            if heartbeat_s and now - self.read_at > 2 * heartbeat_s and self._blocked is None:
                logger.warning("%s: missed heartbeats, timeout %d s", session.name, heartbeat_s)
                self.scope.cancel()
            elif heartbeat_s and now - self.written_at >= heartbeat_s / 2 - TICK_S:
                if not session.wire.outgoing:
                    session.wire.write(HEARTBEAT)
                self._wake()
        elif now > self.deadline_at:
            if not session.is_finished:
                logger.warning("%s: timeout in state %s", session.name, state.value)
            self.scope.cancel()


class Server:
    """The listeners of one broker and the connections that they accepted."""

    def __init__(self, config: Config, broker: Broker) -> None:
        self.config = config
        self.broker = broker
        self.connections: set[ClientConnection] = set()
        self.turns = Turns()
        self._listeners: list[Listener[ByteStream]] = []
        self._tasks: TaskGroup | None = None
        self._listening = anyio.CancelScope()
        self._idle = anyio.Event()
        """Set when the last connection has gone."""
        self._is_draining = False
        self.certificate: ServerCertificate | None = None
        """What the TLS listener shows; None without one."""
        self._tls_listener: AmqpsListener | None = None
        self.amqp_port = 0
        self.amqps_port: int | None = None
        self.management_port: int | None = None
        self.management_tls_port: int | None = None
        self._management_sockets: list[management.Socket] = []

    async def listen(self) -> None:
        """Open the listeners.

        Raises :class:`OSError` if an address or a certificate cannot be used; nothing is left open.
        """
        try:
            await self._open_listeners()
        except BaseException:
            for listener in self._listeners:
                await listener.aclose()
            raise

    async def _open_listeners(self) -> None:
        config = self.config
        gate = Gate(connection_count_max(config))
        listener = await self._open_amqp(config.port, gate)
        self.amqp_port = listener.extra(SocketAttribute.local_port)
        self._listeners.append(listener)
        if config.has_tls:
            assert config.tls_cert is not None
            assert config.tls_key is not None
            options = TlsOptions(
                config.tls_versions,
                config.tls_ciphers,
                config.tls_requires_client_cert,
                config.tls_key_password,
            )
            self.certificate = ServerCertificate(
                config.tls_cert, config.tls_key, config.tls_ca, options=options
            )
        if config.tls_port is not None:
            assert self.certificate is not None
            tcp = await self._open_amqp(config.tls_port, gate)
            self.amqps_port = tcp.extra(SocketAttribute.local_port)
            self._tls_listener = AmqpsListener(tcp, self.certificate.context, config)
            self._listeners.append(self._tls_listener)
        if config.management_port is not None:
            self.management_port = await self._open_management(config.management_port)
        if config.management_tls_port is not None:
            self.management_tls_port = await self._open_management(
                config.management_tls_port, self.certificate
            )

    async def _open_amqp(self, port: int, gate: Gate) -> Listener[ByteStream]:
        config = self.config
        listener = GatedListener(await listen(config.host, port), gate)
        if config.proxy_protocol:
            return ProxyListener(listener, config.handshake_timeout_s)
        return listener

    async def _open_management(
        self, port: int, certificate: ServerCertificate | None = None
    ) -> int:
        http = await anyio.create_tcp_listener(
            local_host=self.config.management_host, local_port=port
        )
        context = None if certificate is None else certificate.listening_context()
        self._management_sockets += [
            management.Socket(listener.extra(SocketAttribute.raw_socket), context)
            for listener in http.listeners
        ]
        number: int = http.extra(SocketAttribute.local_port)
        return number

    def addresses(self) -> list[management.Listener]:
        """Return what the broker listens on."""
        config = self.config
        addresses = [management.Listener("amqp", config.host, self.amqp_port)]
        if self.management_port is not None:
            host = config.management_host
            addresses.append(management.Listener("http", host, self.management_port))
        if self.management_tls_port is not None:
            host = config.management_host
            addresses.append(
                management.Listener("https", host, self.management_tls_port, self.certificate)
            )
        if self.amqps_port is not None:
            addresses.append(
                management.Listener("amqp/ssl", config.host, self.amqps_port, self.certificate)
            )
        return addresses

    async def serve(self) -> None:
        """Accept clients until cancelled or drained."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            tasks.start_soon(self._listen, tasks)
            tasks.start_soon(self._tick)
            tasks.start_soon(self.broker.timers.run)
            if self._management_sockets:
                tasks.start_soon(
                    management.serve, self.broker, self._management_sockets, self.addresses()
                )

    async def _listen(self, tasks: TaskGroup) -> None:
        """Accept on all listeners until ``drain``; clients are served in ``tasks``."""
        async with AsyncExitStack() as stack:
            for listener in self._listeners:
                await stack.enter_async_context(listener)
            with self._listening:
                async with anyio.create_task_group() as accepting:
                    for listener in self._listeners:
                        accepting.start_soon(listener.serve, self._accept, tasks)

    async def _accept(self, stream: ByteStream) -> None:
        """Serve one client; whatever goes wrong there must not reach the others."""
        try:
            await self._serve_client(stream)
        except Exception:
            logger.exception("internal error, connection dropped")
        finally:
            with anyio.CancelScope(shield=True), suppress(*GONE):
                await stream.aclose()

    async def _serve_client(self, stream: ByteStream) -> None:
        connection = ClientConnection(self, stream)
        self.connections.add(connection)
        self.broker.sessions.add(connection.session)
        if self._is_draining:
            connection.session.force_close(SHUTDOWN)
        try:
            await connection.run()
        finally:
            self.connections.discard(connection)
            self.broker.sessions.discard(connection.session)
            connection.session.forget_server()
            if not self.connections:
                self._idle.set()

    async def _tick(self) -> None:
        monitor = ResourceMonitor(self.config, self.broker.alarms)
        returner = MemoryReturner()
        while True:
            monitor.check()
            returner.check(len(self.connections))
            self.check_certificate()
            await anyio.sleep(TICK_S)
            connections = list(self.connections)
            while connections:
                now = anyio.current_time()
                for connection in connections[-TICK_COUNT:]:
                    connection.tick(now)
                del connections[-TICK_COUNT:]
                await anyio.lowlevel.checkpoint()

    def check_certificate(self, *, is_changed: bool = False) -> None:
        """Have clients to come see a new certificate; one that is not new is left alone unless
        ``is_changed`` says that it is (FEATURES A16.3).
        """
        if self.certificate is None:
            return
        if is_changed:
            self.certificate.reload()
        self.certificate.check()
        if self._tls_listener is not None:
            self._tls_listener.ssl_context = self.certificate.context

    async def drain(self) -> None:
        """Stop listening, close all connections with 320, and end ``serve`` (FEATURES A8.18)."""
        self._is_draining = True
        self._listening.cancel()
        for connection in list(self.connections):
            connection.session.force_close(SHUTDOWN)
        self.broker.flush()
        if self.connections:
            self._idle = anyio.Event()
            with anyio.move_on_after(CLOSE_TIMEOUT_S):
                await self._idle.wait()
        assert self._tasks is not None
        self._tasks.cancel_scope.cancel()


def _address(address: tuple[str, int] | str) -> str:
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) else str(address)


def _is_loopback(remote: str) -> bool:
    return remote.startswith(("127.", "::1:", "::ffff:127."))


def ready_line(server: Server) -> str:
    """Return the line that tells where the broker listens (DESIGN section 8)."""
    labels = {
        "amqp": "amqp",
        "http": "management",
        "https": "management-tls",
        "amqp/ssl": "amqps",
    }
    words = [f"{labels[item.protocol]}={item.host}:{item.port}" for item in server.addresses()]
    return " ".join(["ready", *words])


async def _main(config: Config) -> int:
    try:
        progress = WorkProgress("recovering messages", "batches")
        async with open_broker(config, progress.update) as broker:
            if not await _has_imported(config, broker):
                return 1
            return await _serve(config, broker)
    except (CatalogError, LogError) as error:
        logger.error("cannot start: %s", error)
    except OSError as error:
        logger.error("cannot use %s: %s", config.data_dir, error)
    return 1


async def _has_imported(config: Config, broker: Broker) -> bool:
    """Import the definitions, if there are any; return False, and log why, if they are refused."""
    try:
        await import_at_start(broker, lambda what: WorkProgress(what, "objects").update)
    except DefinitionsError as error:
        logger.error("cannot start: %s: %s", source_name(config), error)
    except CatalogError as error:
        logger.error("cannot start: %s cannot be imported: %s", source_name(config), error)
    else:
        return True
    return False


async def _serve(config: Config, broker: Broker) -> int:
    server = Server(config, broker)
    try:
        broker.logins = open_chain(config, broker.users)
        broker.sasl = replace(broker.sasl, gssapi=open_gssapi(config))
    except (OSError, ValueError) as error:
        logger.error("cannot start: %s", error)
        return 1
    try:
        await server.listen()
    except (OSError, ValueError) as error:
        logger.error("cannot listen: %s", error)
        return 1
    # Without TLS there is nothing to read again, and a terminal that goes takes the broker along.
    also = (signal.SIGHUP,) if config.has_tls else ()
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, *also) as signals:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve)
            calm_collector()
            sys.stdout.write(ready_line(server) + "\n")
            sys.stdout.flush()
            async for received in signals:
                if received is not signal.SIGHUP:
                    await server.drain()
                    break
                server.check_certificate(is_changed=True)
    return 0


def run(config: Config) -> int:
    """Run a broker until SIGTERM or SIGINT; return the exit code."""
    log_to_stderr(config.log_level)
    pause_collector()
    raise_descriptor_limit()
    options = {"use_uvloop": _has_uvloop()}
    return anyio.run(_main, config, backend_options=options)


def _has_uvloop() -> bool:
    try:
        import uvloop  # noqa: F401
    except ImportError:
        return False
    return True
