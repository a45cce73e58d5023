"""Duplicates do not come, are confirmed, and are known after a restart (N6, A9.18, A12.12, S20)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands

from amqpbroker.storage.fake_disk import FakeDisk
from amqpbroker.storage.faulty import Fault, FaultyLog
from tests.amqp_bytes import properties
from tests.broker.client import MemoryClient, connect, make_broker
from tests.broker.clock import START_S, advance, clocked
from tests.broker.durable import DurableBroker, fake_log, running

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker
    from tests.broker.clock import Clock

ON: dict[str, tuple[str, Any]] = {"x-message-deduplication": ("t", True)}


def keyed(key: object, *, is_persistent: bool = True, **headers: tuple[str, Any]) -> bytes:
    named = {name.replace("_", "-"): field for name, field in headers.items()}
    field = ("S", str(key).encode())
    return properties(
        headers={"x-deduplication-header": field, **named}, delivery_mode=1 + is_persistent
    )


def confirms(client: MemoryClient) -> list[tuple[type, int]]:
    """Return kind and tag of the confirms that have come."""
    got: list[tuple[type, int]] = []
    while not client.is_silent:
        command = client.read_frame().command
        assert isinstance(command, commands.Basic.Ack | commands.Basic.Nack)
        got.append((type(command), command.delivery_tag or 0))
    return got


def declare_exchange(
    client: MemoryClient, name: str, kind: str = "fanout", **arguments: tuple[str, Any]
) -> None:
    table = {key.replace("_", "-"): field for key, field in arguments.items()}
    command = commands.Exchange.Declare(exchange=name, exchange_type=kind)
    client.call(command, commands.Exchange.DeclareOk, 1, table)


@pytest.fixture
def broker() -> Broker:
    return make_broker()


@pytest.fixture
def clock(broker: Broker) -> Clock:
    return clocked(broker)


@pytest.fixture
def client(broker: Broker, clock: Clock) -> MemoryClient:
    client = connect(broker)
    client.declare("q", ON)
    return client


# queues


def test_a_queue_takes_a_key_once(client: MemoryClient) -> None:
    client.publish("q", b"1", b"2", header=keyed("a"))
    client.publish("q", b"3", header=keyed("b"))
    client.publish("q", b"4", header=keyed("a"))
    client.publish("q", b"5", b"6")
    assert client.get_all("q") == [b"1", b"3", b"5", b"6"]
    client.publish("q", b"7", header=keyed("a"))
    assert client.get_all("q") == []


def test_the_window_ends(client: MemoryClient, broker: Broker, clock: Clock) -> None:
    client.publish("q", b"1", header=keyed("a"))
    advance(broker.timers, clock, 300)
    client.publish("q", b"2", header=keyed("a"))
    assert client.get_all("q") == [b"1", b"2"]


def test_each_queue_has_its_own_window(client: MemoryClient) -> None:
    client.declare("other", ON | {"x-cache-size": ("I", 1)})
    client.declare("plain")
    for name in ("q", "other", "plain"):
        client.bind(name, "amq.fanout")
    for key in "aba":
        client.publish("", key.encode(), exchange="amq.fanout", header=keyed(key))
    assert client.get_all("q") == [b"a", b"b"]
    assert client.get_all("other") == [b"a", b"b", b"a"]
    assert client.get_all("plain") == [b"a", b"b", b"a"]


def test_duplicates_are_confirmed(client: MemoryClient) -> None:
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    client.publish("q", b"1", b"2", header=keyed("a"))
    assert confirms(client) == [(commands.Basic.Ack, 2)]
    client.publish("q", b"3", header=keyed("a"), mandatory=True)
    assert confirms(client) == [(commands.Basic.Ack, 3)]


def test_what_is_refused_may_come_again(client: MemoryClient) -> None:
    full = {"x-max-length": ("I", 1), "x-overflow": ("S", b"reject-publish")}
    client.declare("full", ON | full)
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    client.publish("full", b"1", header=keyed("a"))
    client.publish("full", b"2", b"3", header=keyed("b"))
    kinds = [kind for kind, _ in confirms(client)]
    assert kinds == [commands.Basic.Ack, commands.Basic.Nack]
    assert client.get_all("full") == [b"1"]
    client.publish("full", b"4", header=keyed("b"))
    assert [kind for kind, _ in confirms(client)] == [commands.Basic.Ack]
    assert client.get_all("full") == [b"4"]


def test_only_who_took_a_message_remembers_it(client: MemoryClient) -> None:
    full = {"x-max-length": ("I", 0), "x-overflow": ("S", b"reject-publish")}
    client.declare("full", full)
    client.bind("q", "amq.fanout")
    client.bind("full", "amq.fanout")
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    for body in (b"1", b"2"):
        client.publish("", body, exchange="amq.fanout", header=keyed("a"))
    assert [kind for kind, _ in confirms(client)] == [commands.Basic.Nack] * 2
    assert client.get_all("q") == [b"1"]


def test_a_dead_letter_that_comes_back_is_no_duplicate(client: MemoryClient) -> None:
    to = {"x-dead-letter-exchange": ("S", b"")}
    client.declare("work", ON | to | {"x-dead-letter-routing-key": ("S", b"wait")})
    client.declare("wait", to | {"x-dead-letter-routing-key": ("S", b"work")})
    client.publish("work", b"1", header=keyed("a"))
    for queue in ("work", "wait"):
        message = client.get(queue, no_ack=False)
        assert message is not None
        client.reject(client.channel().last_tag, requeue=False)
    assert client.get_all("work") == [b"1"]


def test_a_requeued_message_is_no_duplicate(client: MemoryClient) -> None:
    client.publish("q", b"1", header=keyed("a"))
    client.get("q", no_ack=False)
    client.reject(1)
    assert client.get_all("q") == [b"1"]


def test_delayed_messages_are_looked_at_when_they_come(
    client: MemoryClient, broker: Broker, clock: Clock
) -> None:
    later = ("I", 1000)
    client.publish("q", b"late", header=keyed("a", x_delay=later))
    client.publish("q", b"soon", header=keyed("a"))
    assert client.get_all("q") == [b"soon"]
    client.publish("q", b"1", b"2", header=keyed("b", x_delay=later))
    advance(broker.timers, clock, 1)
    assert client.get_all("q") == [b"1"]
    declare_exchange(client, "lots", "x-random")
    client.bind("q", "lots")
    client.publish("", b"3", b"4", exchange="lots", header=keyed("c", x_delay=later))
    advance(broker.timers, clock, 1)
    assert client.get_all("q") == [b"3"]


def test_transactions_look_when_they_commit(client: MemoryClient) -> None:
    client.call(commands.Tx.Select(), commands.Tx.SelectOk)
    client.publish("q", b"1", header=keyed("a"))
    client.call(commands.Tx.Rollback(), commands.Tx.RollbackOk)
    client.publish("q", b"2", header=keyed("a"))
    client.publish("q", b"3", header=keyed("a"))
    client.call(commands.Tx.Commit(), commands.Tx.CommitOk)
    assert client.get_all("q") == [b"2"]


def test_a_queue_that_is_deleted_meanwhile_takes_nothing(client: MemoryClient) -> None:
    client.call(commands.Tx.Select(), commands.Tx.SelectOk)
    client.publish("q", b"1", header=keyed("a"))
    client.delete("q")
    client.call(commands.Tx.Commit(), commands.Tx.CommitOk)
    client.declare("q", ON)
    client.publish("q", b"2", header=keyed("a"))
    client.call(commands.Tx.Commit(), commands.Tx.CommitOk)
    assert client.get_all("q") == [b"2"]


def test_arguments_count_when_a_queue_is_declared_again(client: MemoryClient) -> None:
    client.send_command(commands.Queue.Declare(queue="q"), arguments={})
    client.expect_channel_error(
        406,
        "PRECONDITION_FAILED - inequivalent arg 'x-message-deduplication' for queue 'q' in vhost"
        " '/': received none but current is the value 'true' of type 'bool'",
        (50, 10),
    )


@pytest.mark.parametrize("field", [("I", 0), ("S", b"x"), ("t", True), ("I", -5)])
def test_a_size_must_be_one(client: MemoryClient, field: tuple[str, Any]) -> None:
    client.send_command(commands.Queue.Declare(queue="new"), arguments={"x-cache-size": field})
    close = client.read(commands.Channel.Close)
    assert close.reply_code == 406
    assert close.reply_text.startswith(
        "PRECONDITION_FAILED - invalid arg 'x-cache-size' for queue 'new' in vhost '/': "
    )


# exchanges


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("x-message-deduplication", {"x_cache_size": ("I", 5)}),
        ("fanout", {"x_message_deduplication": ("t", True)}),
        ("x-random", {"x_message_deduplication": ("t", True)}),
        (
            "x-delayed-message",
            {"x_delayed_type": ("S", b"x-message-deduplication"), "x_cache_size": ("I", 5)},
        ),
    ],
)
def test_an_exchange_routes_a_key_once(
    client: MemoryClient, kind: str, arguments: dict[str, tuple[str, Any]]
) -> None:
    declare_exchange(client, "x", kind, **arguments)
    client.declare("plain")
    client.bind("plain", "x")
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    client.publish("", b"1", b"2", exchange="x", header=keyed("a"))
    client.publish("", b"3", exchange="x", header=keyed("a"), mandatory=True)
    client.publish("", b"4", exchange="x")
    assert confirms(client) == [
        (commands.Basic.Ack, 2),
        (commands.Basic.Ack, 3),
        (commands.Basic.Ack, 4),
    ]
    assert client.get_all("plain") == [b"1", b"4"]


def test_what_reaches_no_queue_may_come_again(client: MemoryClient) -> None:
    declare_exchange(client, "x", x_message_deduplication=("t", True))
    client.publish("", b"1", exchange="x", header=keyed("a"), mandatory=True)
    assert client.read_message(commands.Basic.Return).body == b"1"
    client.declare("plain")
    client.bind("plain", "x")
    client.publish("", b"2", exchange="x", header=keyed("a"))
    assert client.get_all("plain") == [b"2"]


def test_an_exchange_looks_at_delayed_messages_when_they_are_published(
    client: MemoryClient, broker: Broker, clock: Clock
) -> None:
    declare_exchange(client, "x", x_message_deduplication=("t", True))
    client.bind("q", "x")
    client.publish("", b"1", b"2", exchange="x", header=keyed("a", x_delay=("I", 1000)))
    client.publish("", b"3", exchange="x", header=keyed("a"))
    assert client.get_all("q") == []
    advance(broker.timers, clock, 1)
    assert client.get_all("q") == [b"1"]


def test_an_exchange_that_is_declared_anew_has_seen_nothing(client: MemoryClient) -> None:
    for body in (b"1", b"2"):
        client.declare("plain")
        declare_exchange(client, "x", x_message_deduplication=("t", True))
        client.bind("plain", "x")
        client.publish("", body, exchange="x", header=keyed("a"))
        client.call(commands.Exchange.Delete(exchange="x"), commands.Exchange.DeleteOk)
    assert client.get_all("plain") == [b"1", b"2"]


# kept


async def durable(log: Any = None) -> tuple[DurableBroker, MemoryClient]:
    """Start a broker with the durable queue q and the durable exchange x, bound to r."""
    broker = await running(log)
    broker.clock.now = START_S
    client = broker.connect(1)
    client.declare("q", ON, durable=True)
    client.declare("r", durable=True)
    declare = commands.Exchange.Declare(exchange="x", exchange_type="fanout", durable=True)
    client.call(declare, commands.Exchange.DeclareOk, 1, ON)
    client.bind("r", "x")
    return broker, client


async def restarted(broker: DurableBroker) -> MemoryClient:
    await broker.start()
    return broker.connect(1)


async def test_keys_survive_a_restart_and_end_on_time() -> None:
    broker, client = await durable()
    client.publish("q", b"1", header=keyed("a"))
    client.publish("", b"2", exchange="x", header=keyed("a"))
    assert client.get_all("q") == [b"1"]
    await broker.commit()
    client = await restarted(broker)
    for _ in range(2):
        client.publish("q", b"3", header=keyed("a"))
        client.publish("", b"4", exchange="x", header=keyed("a"))
        assert client.get_all("q") == []
        await broker.commit()
        client = await restarted(broker)
    assert client.get_all("r") == [b"2"]
    advance(broker.broker.timers, broker.clock, 300)
    client.publish("q", b"5", header=keyed("a"))
    client.publish("", b"6", exchange="x", header=keyed("a"))
    assert client.get_all("q") == [b"5"]
    assert client.get_all("r") == [b"6"]


async def test_a_message_that_was_lost_may_come_again() -> None:
    broker, client = await durable()
    client.publish("q", b"1", header=keyed("a"))
    client.publish("q", b"2", header=keyed("b", is_persistent=False))
    client.publish("", b"3", exchange="x", header=keyed("b", is_persistent=False))
    client = await restarted(broker)
    client.publish("q", b"4", header=keyed("a"))
    client.publish("q", b"5", header=keyed("b"))
    client.publish("", b"6", exchange="x", header=keyed("b"))
    assert client.get_all("q") == [b"4", b"5"]
    assert client.get_all("r") == [b"6"]


async def test_a_duplicate_is_not_confirmed_before_its_message_is_safe() -> None:
    broker, client = await durable()
    client.call(commands.Confirm.Select(), commands.Confirm.SelectOk)
    client.publish("q", b"1", header=keyed("a"))
    client.publish("q", b"2", header=keyed("a"))
    client.publish("", b"3", b"4", exchange="x", header=keyed("b"))
    assert client.is_silent
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(broker.journal.commit)
        await anyio.lowlevel.checkpoint()
        client.publish("q", b"5", header=keyed("a"))
        assert client.is_silent
    await broker.commit()
    assert confirms(client)[-1] == (commands.Basic.Ack, 5)
    client.publish("q", b"6", header=keyed("a"))
    assert confirms(client) == [(commands.Basic.Ack, 6)]


@pytest.mark.parametrize("fault", [Fault.TIMEOUT_LANDED, Fault.TIMEOUT_LOST])
async def test_a_message_and_its_key_are_kept_or_lost_together(fault: Fault) -> None:
    log = FaultyLog({0: fault})
    broker, client = await durable(log)
    client.publish("q", b"1", header=keyed("a"))
    await broker.commit()
    client.publish("q", b"2", header=keyed("a"))
    assert client.is_silent
    client = await restarted(broker)
    client.publish("q", b"3", header=keyed("a"))
    expected = b"1" if fault is Fault.TIMEOUT_LANDED else b"3"
    assert client.get_all("q") == [expected]


async def test_a_queue_that_is_declared_anew_has_seen_nothing() -> None:
    broker, client = await durable()
    client.publish("q", b"1", header=keyed("a"))
    await broker.commit()
    client.delete("q")
    client.declare("q", ON, durable=True)
    client.publish("q", b"2", header=keyed("a"))
    await broker.commit()
    client = await restarted(broker)
    client.publish("q", b"3", header=keyed("a"))
    assert client.get_all("q") == [b"2"]


async def test_a_vhost_that_goes_takes_its_windows_along() -> None:
    broker, client = await durable()
    client.publish("", b"1", exchange="x", header=keyed("a"))
    await broker.commit()
    broker.broker.vhosts["/"].windows.discard()
    await broker.commit()
    client = await restarted(broker)
    client.publish("", b"2", exchange="x", header=keyed("a"))
    assert client.get_all("r") == [b"1", b"2"]


async def test_what_is_forgotten_takes_no_space() -> None:
    broker, client = await durable(await fake_log(FakeDisk()))
    for number in range(400):
        client.publish("q", b"%d" % number, header=keyed(number))
        if number % 20 == 19:
            client.get_all("q")
            await broker.commit()
            advance(broker.broker.timers, broker.clock, 1)
    assert broker.segment_count > 3
    assert len(broker.broker.vhosts["/"].queues["q"].window or ()) == 400
    advance(broker.broker.timers, broker.clock, 300 - 20)
    for _ in range(20):
        advance(broker.broker.timers, broker.clock, 1)
        await broker.commit()
    await broker.compact()
    assert broker.segment_count <= 2


async def test_compaction_keeps_keys() -> None:
    broker, client = await durable(await fake_log(FakeDisk()))
    client.publish("q", b"first", header=keyed("first"))
    for number in range(200):
        client.publish("r", b"%d" % number, header=keyed(number))
        await broker.commit()
        client.get_all("r")
    client.get_all("q")
    before = broker.segment_count
    await broker.compact()
    assert broker.segment_count < before
    client = await restarted(broker)
    client.publish("q", b"again", header=keyed("first"))
    assert client.get_all("q") == []


@given(
    st.lists(st.sampled_from(["a", "b", "c", "restart", "crash", "commit", "take"]), max_size=25)
)
async def test_any_history_gives_each_confirmed_key_once(steps: list[str]) -> None:
    """The twin: a set of keys, of which a crash takes those that were not committed."""
    broker, client = await durable()
    kept: set[str] = set()
    fresh: set[str] = set()
    ready: list[str] = []
    for step in steps:
        if step in ("restart", "commit"):
            await broker.commit()
            kept |= fresh
            fresh.clear()
        if step in ("restart", "crash"):
            client = await restarted(broker)
            ready = [key for key in ready if key not in fresh]
            fresh.clear()
        elif step == "take":
            await broker.commit()
            kept |= fresh
            fresh.clear()
            assert client.get_all("q") == [key.encode() for key in ready]
            await broker.commit()
            ready.clear()
        elif step != "commit":
            client.publish("q", step.encode(), header=keyed(step))
            if step not in kept | fresh:
                fresh.add(step)
                ready.append(step)
    assert client.get_all("q") == [key.encode() for key in ready]


async def test_no_queue_is_taken_for_a_window() -> None:
    broker, client = await durable()
    client.publish("q", b"1", header=keyed("a"))
    name = "q" * 255
    client.declare(name, ON, durable=True)
    client.publish(name, b"2", header=keyed("a"))
    await broker.commit()
    client = await restarted(broker)
    assert [client.get_all(each) for each in ("q", name)] == [[b"1"], [b"2"]]
    client.publish(name, b"3", header=keyed("a"))
    assert client.get_all(name) == []
