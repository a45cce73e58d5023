"""Bindings and routing by every exchange type (FEATURES A3.6, A3.8-A3.11, A4.8, A8.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pamqp import commands

from tests.amqp_bytes import properties

if TYPE_CHECKING:
    from tests.amqp_bytes import TypedTable
    from tests.features.conftest import Connect
    from tests.raw_client import RawClient

BIND, UNBIND, EXCHANGE_BIND = (50, 20), (50, 50), (40, 30)


def declare(
    client: RawClient, name: str, kind: str, arguments: TypedTable | None = None, **options: Any
) -> str:
    command = commands.Exchange.Declare(exchange=name, exchange_type=kind, **options)
    client.call(command, commands.Exchange.DeclareOk, 1, arguments)
    return name


def unbind(
    client: RawClient, queue: str, exchange: str, key: str = "", arguments: TypedTable | None = None
) -> None:
    command = commands.Queue.Unbind(queue=queue, exchange=exchange, routing_key=key)
    client.call(command, commands.Queue.UnbindOk, 1, arguments)


def bind_exchange(client: RawClient, destination: str, source: str, key: str = "") -> None:
    command = commands.Exchange.Bind(destination=destination, source=source, routing_key=key)
    client.call(command, commands.Exchange.BindOk)


def unbind_exchange(client: RawClient, destination: str, source: str, key: str = "") -> None:
    command = commands.Exchange.Unbind(destination=destination, source=source, routing_key=key)
    client.call(command, commands.Exchange.UnbindOk)


@pytest.fixture
def exchange(name: str) -> str:
    """The name of an exchange that does not exist yet."""
    return f"{name}-x"


def test_the_default_exchange_routes_by_queue_name(client: RawClient, queue: str) -> None:
    client.publish(queue, b"one")
    client.publish(f"{queue}-other", b"lost")
    assert client.get_all(queue) == [b"one"]


def test_a_queue_cannot_be_bound_to_the_default_exchange(client: RawClient, queue: str) -> None:
    client.send_command(commands.Queue.Bind(queue=queue, exchange="", routing_key=queue))
    text = "ACCESS_REFUSED - operation not permitted on the default exchange"
    client.expect_channel_error(403, text, BIND)


def test_a_direct_exchange_routes_by_equal_keys(
    client: RawClient, queue: str, exchange: str
) -> None:
    declare(client, exchange, "direct")
    client.bind(queue, exchange, "red")
    client.bind(queue, exchange, "")
    for key in ("red", "green", "red.x", ""):
        client.publish(key, key.encode(), exchange=exchange)
    assert client.get_all(queue) == [b"red", b""]


def test_a_queue_gets_one_copy_however_many_bindings_match(
    client: RawClient, queue: str, exchange: str
) -> None:
    declare(client, exchange, "topic")
    for key in ("#", "*", "red", "#.red"):
        client.bind(queue, exchange, key)
    client.publish("red", b"one", exchange=exchange)
    assert client.get_all(queue) == [b"one"]


def test_a_fanout_exchange_ignores_the_key(client: RawClient, queue: str, exchange: str) -> None:
    declare(client, exchange, "fanout")
    client.bind(queue, exchange, "red")
    client.publish("green", b"one", exchange=exchange)
    assert client.get_all(queue) == [b"one"]


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("a.*", ["a.b", "a."], ["a", "a.b.c", "b.a"]),
        ("a.#", ["a", "a.b", "a.b.c"], ["b", "ab", "b.a"]),
        ("#", ["", "a", "a.b"], []),
        ("*", ["a"], ["", "a.b"]),
        ("#.b.#", ["b", "a.b", "b.c", "a.b.c"], ["a", "abc"]),
        ("*.b.*", ["a.b.c", ".b."], ["b", "a.b", "b.c"]),
        ("#.*", ["a", "a.b"], []),
        ("a*", ["a*"], ["ab", "a"]),
        ("é.*", ["é.x"], ["e.x"]),
    ],
)
def test_a_topic_exchange_matches_words(
    client: RawClient,
    queue: str,
    exchange: str,
    pattern: str,
    *,
    matching: list[str],
    other: list[str],
) -> None:
    declare(client, exchange, "topic")
    client.bind(queue, exchange, pattern)
    for key in (*matching, *other):
        client.publish(key, key.encode(), exchange=exchange)
    assert client.get_all(queue) == [key.encode() for key in matching]


RED_LARGE: TypedTable = {"colour": ("S", "red"), "size": ("I", 7)}


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (("S", "all"), [b"both"]),
        (("S", "any"), [b"both", b"red", b"large"]),
        (("S", "all-with-x"), [b"both"]),
        (("S", "any-with-x"), [b"both", b"red", b"large"]),
        (None, [b"both"]),
    ],
    ids=["all", "any", "all-with-x", "any-with-x", "absent"],
)
def test_a_headers_exchange_compares_headers(
    client: RawClient, queue: str, exchange: str, match: tuple[str, str] | None,
    expected: list[bytes],
) -> None:  # fmt: skip
    declare(client, exchange, "headers")
    arguments = {**RED_LARGE, "x-match": match} if match else RED_LARGE
    client.bind(queue, exchange, "ignored", arguments)
    headers: dict[bytes, TypedTable] = {
        b"both": {**RED_LARGE, "more": ("t", True)},
        b"red": {"colour": ("S", "red")},
        b"large": {"size": ("I", 7), "colour": ("S", "green")},
        b"none": {"colour": ("S", "green")},
    }
    for body, table in headers.items():
        client.publish("", body, exchange=exchange, header=properties(headers=table))
    client.publish("", b"no headers", exchange=exchange)
    assert client.get_all(queue) == expected


def test_a_headers_binding_without_a_value_asks_for_presence(
    client: RawClient, queue: str, exchange: str
) -> None:
    declare(client, exchange, "headers")
    client.bind(queue, exchange, "", {"colour": ("V", None)})
    for body, table in ((b"red", {"colour": ("S", "red")}), (b"none", {"size": ("I", 1)})):
        client.publish("", body, exchange=exchange, header=properties(headers=table))
    assert client.get_all(queue) == [b"red"]


def test_headers_that_begin_with_x_count_only_when_asked(
    client: RawClient, queue: str, exchange: str
) -> None:
    declare(client, exchange, "headers")
    client.bind(queue, exchange, "", {"x-match": ("S", "all-with-x"), "x-colour": ("S", "red")})
    client.publish("", b"none", exchange=exchange, header=properties(headers={}))
    red = properties(headers={"x-colour": ("S", "red")})
    client.publish("", b"red", exchange=exchange, header=red)
    assert client.get_all(queue) == [b"red"]


def test_a_wrong_x_match_is_refused(client: RawClient, queue: str, exchange: str) -> None:
    # A8.10
    declare(client, exchange, "headers")
    command = commands.Queue.Bind(queue=queue, exchange=exchange)
    client.send_command(command, 1, {"x-match": ("S", "some")})
    text = (
        'PRECONDITION_FAILED - Invalid x-match field value <<"some">>; expected all, any, '
        "all-with-x, or any-with-x"
    )
    client.expect_channel_error(406, text, BIND)


def test_bind_is_idempotent(client: RawClient, queue: str, exchange: str) -> None:
    # A4.8: one unbind takes away what two equal binds made.
    declare(client, exchange, "direct")
    client.bind(queue, exchange, "key")
    client.bind(queue, exchange, "key")
    unbind(client, queue, exchange, "key")
    client.publish("key", b"lost", exchange=exchange)
    assert client.get_all(queue) == []


def test_bindings_differ_by_their_arguments(client: RawClient, queue: str, exchange: str) -> None:
    declare(client, exchange, "direct")
    client.bind(queue, exchange, "key", {"a": ("I", 1)})
    client.bind(queue, exchange, "key", {"a": ("I", 2)})
    unbind(client, queue, exchange, "key", {"a": ("I", 1)})
    client.publish("key", b"one", exchange=exchange)
    assert client.get_all(queue) == [b"one"]


def test_unbind_of_a_missing_binding_is_ok(client: RawClient, queue: str, exchange: str) -> None:
    declare(client, exchange, "direct")
    unbind(client, queue, exchange, "never bound")


@pytest.mark.parametrize("missing", ["queue", "exchange"])
def test_unbind_of_a_missing_end_is_ok(
    client: RawClient, queue: str, exchange: str, missing: str
) -> None:
    if missing == "queue":
        declare(client, exchange, "direct")
        queue += "-missing"
    unbind(client, queue, exchange, "key")


def test_bind_of_a_missing_queue(client: RawClient, name: str) -> None:
    client.send_command(commands.Queue.Bind(queue=name, exchange="amq.direct"))
    text = f"NOT_FOUND - no {client.resource('queue', name)}"
    client.expect_channel_error(404, text, BIND)


def test_bind_to_a_missing_exchange(client: RawClient, queue: str, exchange: str) -> None:
    client.send_command(commands.Queue.Bind(queue=queue, exchange=exchange))
    text = f"NOT_FOUND - no {client.resource('exchange', exchange)}"
    client.expect_channel_error(404, text, BIND)


def test_nowait_bind_has_no_answer(client: RawClient, queue: str) -> None:
    command = commands.Queue.Bind(queue=queue, exchange="amq.direct", routing_key=queue)
    command.nowait = True
    client.send_command(command)
    client.publish(queue, b"one", exchange="amq.direct")
    assert client.get_all(queue) == [b"one"]


def test_unbind_takes_effect_at_once_for_other_connections(
    connect: Connect, name: str, exchange: str
) -> None:
    binder, publisher = connect(), connect()
    declare(binder, exchange, "fanout")
    binder.declare(name)
    binder.bind(name, exchange)
    publisher.publish("", b"one", exchange=exchange)
    assert publisher.counts(name) == (1, 0)
    unbind(binder, name, exchange)
    publisher.publish("", b"lost", exchange=exchange)
    assert publisher.counts(name) == (1, 0)


def test_an_exchange_may_be_bound_to_an_exchange(
    client: RawClient, queue: str, exchange: str
) -> None:
    # A3.10
    target = declare(client, f"{exchange}-target", "fanout")
    declare(client, exchange, "direct")
    bind_exchange(client, target, exchange, "key")
    bind_exchange(client, target, exchange, "key")
    client.bind(queue, target)
    client.publish("key", b"one", exchange=exchange)
    client.publish("other", b"lost", exchange=exchange)
    unbind_exchange(client, target, exchange, "key")
    client.publish("key", b"lost", exchange=exchange)
    assert client.get_all(queue) == [b"one"]


def test_a_cycle_of_exchanges_delivers_one_copy(
    client: RawClient, queue: str, exchange: str
) -> None:
    other = declare(client, f"{exchange}-other", "fanout")
    declare(client, exchange, "fanout")
    bind_exchange(client, other, exchange)
    bind_exchange(client, exchange, other)
    bind_exchange(client, exchange, exchange)
    client.bind(queue, exchange)
    client.bind(queue, other)
    client.publish("", b"one", exchange=exchange)
    assert client.get_all(queue) == [b"one"]


def test_an_exchange_binding_needs_both_ends(client: RawClient, exchange: str) -> None:
    client.send_command(commands.Exchange.Bind(destination=exchange, source="amq.fanout"))
    text = f"NOT_FOUND - no {client.resource('exchange', exchange)}"
    client.expect_channel_error(404, text, EXCHANGE_BIND)


def test_unbind_of_missing_exchanges_is_ok(client: RawClient, exchange: str) -> None:
    unbind_exchange(client, exchange, f"{exchange}-other")


def test_an_internal_exchange_is_reached_by_binding_only(
    client: RawClient, queue: str, exchange: str
) -> None:
    # A3.9
    inner = declare(client, f"{exchange}-inner", "fanout", internal=True)
    declare(client, exchange, "fanout")
    bind_exchange(client, inner, exchange)
    client.bind(queue, inner)
    client.publish("", b"one", exchange=exchange)
    assert client.get_all(queue) == [b"one"]
    client.publish("", b"refused", exchange=inner)
    where = client.resource("exchange", inner)
    client.expect_channel_error(
        403, f"ACCESS_REFUSED - cannot publish to internal {where}", (60, 40)
    )


def test_an_alternate_exchange_takes_what_is_unroutable(
    client: RawClient, queue: str, exchange: str
) -> None:
    # A3.11: what it routes counts as routed, so a mandatory message is not returned.
    spare = declare(client, f"{exchange}-spare", "fanout")
    declare(client, exchange, "direct", {"alternate-exchange": ("S", spare)})
    client.bind(queue, spare)
    client.publish("nobody", b"one", exchange=exchange, mandatory=True)
    message = client.get(queue)
    assert message is not None
    assert message.body == b"one"
    assert message.command["exchange"] == exchange


def test_an_alternate_exchange_is_not_used_for_what_is_routed(
    client: RawClient, queue: str, exchange: str
) -> None:
    spare = declare(client, f"{exchange}-spare", "fanout")
    declare(client, exchange, "direct", {"alternate-exchange": ("S", spare)})
    client.bind(queue, spare)
    end = declare(client, f"{exchange}-end", "direct")
    bind_exchange(client, end, exchange, "key")
    client.publish("key", b"dropped by the bound exchange", exchange=exchange)
    assert client.get_all(queue) == []


def test_alternate_exchanges_may_form_a_chain_and_a_loop(
    client: RawClient, queue: str, exchange: str
) -> None:
    names = [f"{exchange}-{number}" for number in range(3)]
    for here, there in zip(names, (*names[1:], names[0]), strict=True):
        declare(client, here, "direct", {"alternate-exchange": ("S", there)})
    client.bind(queue, names[2], "key")
    client.publish("key", b"one", exchange=names[0])
    client.publish("nobody", b"lost", exchange=names[0], mandatory=True)
    returned = client.read_message(commands.Basic.Return)
    assert returned.body == b"lost"
    assert client.get_all(queue) == [b"one"]


def test_a_missing_alternate_exchange_drops(client: RawClient, exchange: str) -> None:
    declare(client, exchange, "direct", {"alternate-exchange": ("S", f"{exchange}-missing")})
    client.publish("nobody", b"lost", exchange=exchange, mandatory=True)
    assert client.read_message(commands.Basic.Return).body == b"lost"


def test_a_message_keeps_its_exchange_and_key_on_the_way(
    client: RawClient, queue: str, exchange: str
) -> None:
    # A6.3
    target = declare(client, f"{exchange}-target", "topic")
    declare(client, exchange, "topic")
    bind_exchange(client, target, exchange, "#")
    client.bind(queue, target, "a.*")
    client.publish("a.b", b"one", exchange=exchange)
    message = client.get(queue)
    assert message is not None
    assert (message.command["exchange"], message.command["routing_key"]) == (exchange, "a.b")
