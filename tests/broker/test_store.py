"""Domain objects ↔ rows of the catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import commands

from amqpbroker.auth.users import Permissions
from amqpbroker.broker.metadata import VHostMetadata
from amqpbroker.broker.store import _binding_row, binding_of, unpack
from amqpbroker.routing.binding import Binding, Destination, freeze_arguments
from amqpbroker.wire.table import Field
from tests.broker.durable import DurableBroker, running

if TYPE_CHECKING:
    from amqpbroker.storage.catalog.rows import Snapshot
    from tests.broker.client import MemoryClient

EVERY_KIND = {
    "t": ("t", True),
    "b": ("b", -1),
    "i": ("I", 5),
    "s": ("S", b"\xff"),
    "d": ("d", 0.5),
    "T": ("T", 7),
    "A": ("A", [("S", b"x"), ("I", 1)]),
    "F": ("F", {"deep": ("V", None)}),
}


@pytest.fixture
async def durable() -> DurableBroker:
    """A broker with a catalog."""
    return await running()


@pytest.fixture
def client(durable: DurableBroker) -> MemoryClient:
    return durable.connect()


def rows(durable: DurableBroker) -> Snapshot:
    return durable.catalog.snapshot()


def declare_exchange(
    client: MemoryClient, name: str, *, durable: bool = False, internal: bool = False
) -> None:
    command = commands.Exchange.Declare(
        exchange=name, exchange_type="topic", durable=durable, internal=internal
    )
    client.call(command, commands.Exchange.DeclareOk)


async def test_a_new_catalog_gets_the_defaults(durable: DurableBroker) -> None:
    stored = rows(durable)
    assert [row.name for row in stored.vhosts] == ["/"]
    assert [row.name for row in stored.users] == ["guest"]
    assert stored.permissions == [("guest", "/", ".*", ".*", ".*")]
    assert {row.name for row in stored.exchanges} == {
        name for name in durable.broker.vhosts["/"].exchanges if name
    }


async def test_only_what_is_durable_is_stored(client: MemoryClient, durable: DurableBroker) -> None:
    client.declare("transient")
    client.declare("exclusive", durable=True, exclusive=True)
    client.declare("kept", durable=True, auto_delete=True)
    declare_exchange(client, "transient")
    declare_exchange(client, "kept", durable=True, internal=True)
    for queue in ("transient", "kept"):
        for exchange in ("amq.topic", "transient"):
            client.bind(queue, exchange, "a.#")
    stored = rows(durable)
    assert [(row.name, row.is_auto_delete) for row in stored.queues] == [("kept", True)]
    exchanges = [row for row in stored.exchanges if not row.name.startswith("amq.")]
    assert [(row.name, row.type, row.is_internal) for row in exchanges] == [("kept", "topic", True)]
    assert [(row.source, row.destination) for row in stored.bindings] == [("amq.topic", "kept")]


async def test_arguments_keep_their_types(client: MemoryClient, durable: DurableBroker) -> None:
    client.declare("q", EVERY_KIND, durable=True)
    client.bind("q", "amq.headers", "", EVERY_KIND)
    declared = client.queue("q").arguments
    (row,) = rows(durable).queues
    assert unpack(row.arguments) == declared
    await durable.start()
    client = durable.connect()
    assert client.queue("q").arguments == declared
    (binding,) = durable.broker.vhosts["/"].exchanges["amq.headers"].bindings
    assert unpack(rows(durable).bindings[0].arguments) == declared
    assert binding == binding_of(rows(durable).bindings[0])


async def test_queues_are_known_by_an_id_that_is_not_used_again(
    client: MemoryClient, durable: DurableBroker
) -> None:
    store = durable.broker.store
    assert store is not None
    client.declare("a", durable=True)
    client.declare("b", durable=True)
    assert {number: queue.name for number, queue in store.queues.items()} == {1: "a", 2: "b"}
    client.delete("a")
    client.declare("a", durable=True)
    assert {number: queue.name for number, queue in store.queues.items()} == {2: "b", 3: "a"}


async def test_what_is_deleted_is_deleted_there(
    client: MemoryClient, durable: DurableBroker
) -> None:
    for name in ("a", "b"):
        client.declare(name, durable=True)
        client.bind(name, "amq.topic", "k")
    declare_exchange(client, "e", durable=True)
    unbind = commands.Queue.Unbind(queue="b", exchange="amq.topic", routing_key="k")
    client.call(unbind, commands.Queue.UnbindOk)
    client.delete("a")
    client.call(commands.Exchange.Delete(exchange="e"), commands.Exchange.DeleteOk)
    stored = rows(durable)
    assert [row.name for row in stored.queues] == ["b"]
    assert stored.bindings == []
    assert "e" not in {row.name for row in stored.exchanges}


async def test_a_ticket_is_taken_once(client: MemoryClient, durable: DurableBroker) -> None:
    store = durable.broker.store
    assert store is not None
    client.send_command(commands.Queue.Declare(queue="q", durable=True, nowait=True))
    assert store.take_ticket() is None
    store.put_permissions("guest", "/", Permissions("a", "b", "c"))
    assert store.take_ticket() is not None
    assert store.take_ticket() is None
    assert rows(durable).permissions == [("guest", "/", "a", "b", "c")]


async def test_users_survive_with_all_that_is_theirs(durable: DurableBroker) -> None:
    before = durable.broker.users.user("guest")
    await durable.start()
    assert durable.broker.users.user("guest") == before
    assert durable.broker.users.permissions["guest", "/"] == Permissions(".*", ".*", ".*")


async def test_a_vhost_goes_with_all_that_is_in_it(durable: DurableBroker) -> None:
    store = durable.broker.store
    assert store is not None
    durable.broker.add_vhost("other")
    store.delete_vhost("other")
    assert [row.name for row in rows(durable).vhosts] == ["/"]


async def test_what_a_vhost_says_of_itself_survives(durable: DurableBroker) -> None:
    store = durable.broker.store
    assert store is not None
    metadata = VHostMetadata("hall", ("a", "b"), "classic")
    vhost = durable.broker.add_vhost("other")
    vhost.metadata = metadata
    store.put_vhost_itself(vhost)
    await durable.start()
    assert durable.broker.vhosts["other"].metadata == metadata
    assert durable.broker.vhosts["/"].metadata == VHostMetadata()


def test_a_binding_is_made_of_its_row() -> None:
    arguments = freeze_arguments({"x": Field("S", b"1")})
    binding = Binding("e", Destination("queue", "q"), "k", arguments)
    assert binding_of(_binding_row("/", binding)) == binding
