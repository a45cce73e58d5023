"""Where publishes go, and that nothing remembered outlives what it was worked out from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import commands

from amqpbroker.broker.message import Message
from amqpbroker.broker.names import REPLY_TO
from amqpbroker.broker.router import ROUTE_CACHE_COUNT_MAX, ROUTE_MEMO_COUNT_MAX, Route, RouteMemo
from amqpbroker.wire.content import Publication
from tests.amqp_bytes import properties
from tests.cycles import left_to_the_collector

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.broker.client import MemoryClient


def declare(client: MemoryClient, exchange: str, kind: str = "direct") -> None:
    command = commands.Exchange.Declare(exchange=exchange, exchange_type=kind)
    client.call(command, commands.Exchange.DeclareOk)


def got(client: MemoryClient, *queues: str) -> list[list[bytes]]:
    return [client.get_all(queue) for queue in queues]


@pytest.fixture
def client(client: MemoryClient) -> MemoryClient:
    """A client with queues a and b and a direct exchange x, bound to a under k."""
    client.declare("a")
    client.declare("b")
    declare(client, "x")
    client.bind("a", "x", "k")
    return client


def send(client: MemoryClient, body: bytes, exchange: str = "x") -> None:
    client.publish("k", body, exchange=exchange)


def bind_more(client: MemoryClient) -> None:
    client.bind("b", "x", "k")


def unbind(client: MemoryClient) -> None:
    command = commands.Queue.Unbind(queue="a", exchange="x", routing_key="k")
    client.call(command, commands.Queue.UnbindOk)


def redeclare_queue(client: MemoryClient) -> None:
    client.delete("a")
    client.declare("a")


def redeclare_exchange(client: MemoryClient) -> None:
    client.call(commands.Exchange.Delete(exchange="x"), commands.Exchange.DeleteOk)
    declare(client, "x")
    client.bind("b", "x", "k")


def bind_exchange(client: MemoryClient) -> None:
    declare(client, "y", "fanout")
    client.bind("b", "y")
    command = commands.Exchange.Bind(destination="y", source="x", routing_key="k")
    client.call(command, commands.Exchange.BindOk)


CHANGES: list[tuple[Callable[[MemoryClient], None], list[list[bytes]]]] = [
    (bind_more, [[b"1", b"2"], [b"2"]]),
    (unbind, [[b"1"], []]),
    (redeclare_queue, [[], []]),
    (redeclare_exchange, [[b"1"], [b"2"]]),
    (bind_exchange, [[b"1", b"2"], [b"2"]]),
]


@pytest.mark.parametrize(("change", "expected"), CHANGES)
def test_a_change_counts_for_the_next_publish(
    client: MemoryClient,
    other: MemoryClient,
    change: Callable[[MemoryClient], None],
    expected: list[list[bytes]],
) -> None:
    send(client, b"1")
    change(other)
    send(client, b"2")
    assert got(client, "a", "b") == expected


def test_what_one_channel_worked_out_serves_another(client: MemoryClient) -> None:
    client.open_channel(2)
    client.call(commands.Tx.Select(), commands.Tx.SelectOk, 2)
    send(client, b"1")
    client.publish("k", b"2", exchange="x", channel=2)
    client.call(commands.Tx.Rollback(), commands.Tx.RollbackOk, 2)
    send(client, b"3")
    assert got(client, "a") == [[b"1", b"3"]]


@pytest.mark.parametrize(("change", "expected"), CHANGES)
def test_a_change_counts_for_other_messages_with_the_same_key(
    client: MemoryClient,
    other: MemoryClient,
    change: Callable[[MemoryClient], None],
    expected: list[list[bytes]],
) -> None:
    client.publish("k", b"1", exchange="x", header=properties(message_id="1"))
    change(other)
    client.publish("k", b"2", exchange="x", header=properties(message_id="2"))
    assert got(client, "a", "b") == expected


def test_what_is_special_is_checked_though_others_with_its_key_were_plain(
    client: MemoryClient,
) -> None:
    client.publish("a", b"1", header=properties(message_id="1"))
    copies = {"CC": ("A", (("S", b"b"),))}
    client.publish("a", b"2", header=properties(message_id="2", headers=copies))
    client.publish("a", b"3", header=properties(headers={"x-delay": ("I", 60_000)}))
    assert got(client, "a", "b") == [[b"1", b"2"], [b"2"]]
    for wrong in ({"expiration": "no"}, {"user_id": "somebody"}, {"reply_to": REPLY_TO}):
        client.publish("a", b"4", header=properties(**wrong))
        assert client.read(commands.Channel.Close).reply_code == 406
        client.send_command(commands.Channel.CloseOk())
        client.open_channel()
        client.publish("a", b"5", header=properties(message_id="5"))
    assert got(client, "a") == [[b"5"] * 3]


def test_each_queue_gets_one_copy(client: MemoryClient) -> None:
    header = properties(headers={"CC": ("A", (("S", b"b"), ("S", b"a"))), "BCC": ("A", ())})
    client.publish("a", b"1", header=header)
    assert got(client, "a", "b") == [[b"1"], [b"1"]]


def test_blind_copies_do_not_show(client: MemoryClient) -> None:
    header = properties(headers={"BCC": ("A", (("S", b"b"),)), "n": ("I", 1)})
    client.publish("a", b"1", header=header)
    for queue in ("a", "b"):
        message = client.get(queue)
        assert message is not None
        assert message.headers == {"n": 1}


def test_blind_copies_do_not_show_in_a_history(client: MemoryClient) -> None:
    declare(client, "h", "x-recent-history")
    client.bind("a", "h")
    client.publish(
        "", b"1", exchange="h", header=properties(headers={"BCC": ("A", (("S", b"z"),))})
    )
    client.bind("b", "h")
    for queue in ("a", "b"):
        message = client.get(queue)
        assert message is not None
        assert message.headers == {}


def test_an_unstable_exchange_is_asked_for_every_message(client: MemoryClient) -> None:
    declare(client, "r", "x-random")
    for queue in ("a", "b"):
        client.bind(queue, "r")
    client.publish("k", *[b"x"] * 40, exchange="r")
    in_a, in_b = got(client, "a", "b")
    assert len(in_a) + len(in_b) == 40
    assert in_a
    assert in_b


def test_an_exchange_behind_one_that_is_keyed_may_be_unstable(client: MemoryClient) -> None:
    declare(client, "r", "x-random")
    for queue in ("a", "b"):
        client.bind(queue, "r")
    command = commands.Exchange.Bind(destination="r", source="amq.fanout")
    client.call(command, commands.Exchange.BindOk)
    for _ in range(40):
        send(client, b"x", "amq.fanout")
    assert all(got(client, "a", "b"))


def test_routes_by_key_are_bounded(client: MemoryClient) -> None:
    routes = client.broker.vhosts["/"].routes
    routes.update({("x", str(n)): () for n in range(ROUTE_CACHE_COUNT_MAX)})
    send(client, b"1")
    assert len(routes) == 1


def test_routes_of_publications_are_bounded_per_session() -> None:
    memo = RouteMemo()
    epoch = object()
    for number in range(ROUTE_MEMO_COUNT_MAX + 1):
        publication = Publication.of("x", str(number), {}, 0)
        assert memo.get(publication, epoch) is None
        memo.remember(publication, Route(publication, ()))
    assert memo.get(publication, epoch) is not None
    assert len(memo._routes) == 1
    assert memo.get(publication, object()) is None


def test_plain_publications_go_as_others_with_their_keys(client: MemoryClient) -> None:
    memo, epoch = RouteMemo(), object()
    queues = (client.broker.vhosts["/"].queues["a"],)

    def publication(key: str = "k", **properties: object) -> Publication:
        return Publication.of("x", key, {"delivery_mode": 2, **properties}, 1)

    memo.get(publication(), epoch)
    memo.remember_key(Route(publication(message_id="1"), queues))
    other = publication(message_id="2")
    route = memo.get(other, epoch)
    assert route is not None
    assert (route.publication, route.queues) == (other, queues)
    assert memo.get(publication("other"), epoch) is None
    assert memo.get(publication(delivery_mode=1), epoch) is None
    assert memo.get(publication(expiration="9"), epoch) is None
    assert memo.get(publication(headers={"x-delay": ("I", 5)}), epoch) is None
    assert memo.get(other, object()) is None


def test_messages_that_are_gone_leave_nothing_to_the_cycle_collector(client: MemoryClient) -> None:
    with left_to_the_collector(Publication, Route, Message) as left:
        for number in range(ROUTE_MEMO_COUNT_MAX * 2):
            client.publish("k", b"x", exchange="x", header=properties(message_id=str(number)))
        got(client, "a")
    assert not left


def test_a_message_without_a_queue_is_dropped_or_returned(client: MemoryClient) -> None:
    client.publish("no", b"1", exchange="x")
    assert client.is_silent
    client.publish("no", b"1", exchange="x", mandatory=True)
    assert client.read_message(commands.Basic.Return).body == b"1"
