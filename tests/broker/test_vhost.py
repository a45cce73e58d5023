"""What declaring, binding and deleting mean in a vhost."""

from __future__ import annotations

import pytest

from amqpbroker.broker.message import Message
from amqpbroker.broker.queue import Queue
from amqpbroker.broker.vhost import VHost
from amqpbroker.errors import SoftError
from amqpbroker.routing.binding import Binding, Destination
from amqpbroker.routing.registry import create_exchange
from amqpbroker.routing.types.topic_exchange import TopicExchange
from amqpbroker.wire.content import Publication


@pytest.fixture
def vhost() -> VHost:
    """A vhost with a queue q and a fanout exchange x."""
    vhost = VHost("/")
    add_queue(vhost, "q")
    add_exchange(vhost, "x")
    return vhost


def add_queue(vhost: VHost, name: str) -> Queue:
    queue = Queue(name, is_durable=False, is_auto_delete=False, arguments={})
    vhost.add_queue(queue)
    return queue


def add_exchange(vhost: VHost, name: str, *, is_auto_delete: bool = False) -> None:
    vhost.add_exchange(create_exchange("fanout", name, is_auto_delete=is_auto_delete))


def to_queue(source: str, name: str = "q") -> Binding:
    return Binding(source, Destination("queue", name), "")


def to_exchange(source: str, name: str) -> Binding:
    return Binding(source, Destination("exchange", name), "")


def test_a_vhost_is_born_with_exchanges() -> None:
    exchanges = VHost("/").exchanges
    expected = ["", "direct", "fanout", "headers", "match", "rabbitmq.trace", "topic"]
    assert sorted(name.removeprefix("amq.") for name in exchanges) == expected
    assert isinstance(exchanges["amq.rabbitmq.trace"], TopicExchange)
    assert [name for name, item in exchanges.items() if item.is_internal] == ["amq.rabbitmq.trace"]


@pytest.mark.parametrize("kind", ["exchange", "queue"])
def test_what_is_missing_is_a_404(vhost: VHost, kind: str) -> None:
    with pytest.raises(SoftError) as raised:
        _ = vhost.exchange("no") if kind == "exchange" else vhost.queue("no", None)
    assert raised.value.reply_text == f"NOT_FOUND - no {kind} 'no' in vhost '/'"


def test_every_change_starts_a_new_epoch(vhost: VHost) -> None:
    epochs = [vhost.epoch]

    def changed() -> bool:
        epochs.append(vhost.epoch)
        return epochs[-1] is not epochs[-2] and not vhost.routes

    vhost.routes["", "q"] = ()
    add_queue(vhost, "r")
    assert changed()
    add_exchange(vhost, "y")
    assert changed()
    vhost.bind(to_queue("x"))
    assert changed()
    vhost.bind(to_queue("x"))
    assert not changed(), "the binding exists"
    vhost.unbind(to_queue("x"))
    assert changed()
    vhost.unbind(to_queue("x"))
    assert not changed(), "there is no such binding"
    vhost.delete_queue(vhost.queues["r"])
    assert changed()
    vhost.delete_exchange(vhost.exchanges["y"])
    assert changed()


def test_deleting_a_queue_removes_its_bindings(vhost: VHost) -> None:
    vhost.bind(to_queue("x"))
    assert list(vhost.bindings_to(Destination("queue", "q"))) == [to_queue("x")]
    vhost.delete_queue(vhost.queues["q"])
    assert not vhost.exchanges["x"].bindings
    assert not vhost.bindings_to(Destination("queue", "q"))


def test_deleting_an_exchange_removes_bindings_on_both_sides(vhost: VHost) -> None:
    add_exchange(vhost, "y")
    vhost.bind(to_exchange("y", "x"))
    vhost.bind(to_queue("x"))
    vhost.delete_exchange(vhost.exchanges["x"])
    assert not vhost.exchanges["y"].bindings
    assert not vhost.bindings_to(Destination("queue", "q"))
    assert not vhost._bindings_to


def test_an_auto_delete_exchange_goes_with_its_last_binding(vhost: VHost) -> None:
    add_exchange(vhost, "auto", is_auto_delete=True)
    add_queue(vhost, "r")
    vhost.bind(to_queue("auto"))
    vhost.bind(to_queue("auto", "r"))
    vhost.unbind(to_queue("auto"))
    assert "auto" in vhost.exchanges
    vhost.delete_queue(vhost.queues["r"])
    assert "auto" not in vhost.exchanges


def test_auto_delete_goes_upstream(vhost: VHost) -> None:
    for name in ("a", "b", "c"):
        add_exchange(vhost, name, is_auto_delete=True)
    vhost.bind(to_exchange("a", "b"))
    vhost.bind(to_exchange("b", "c"))
    vhost.bind(to_queue("c"))
    vhost.delete_queue(vhost.queues["q"])
    assert not {"a", "b", "c"} & vhost.exchanges.keys()
    assert not vhost._bindings_to


def test_auto_delete_ends_in_a_circle(vhost: VHost) -> None:
    for name in ("a", "b"):
        add_exchange(vhost, name, is_auto_delete=True)
    for source, destination in (("a", "b"), ("b", "a"), ("a", "a")):
        vhost.bind(to_exchange(source, destination))
    vhost.delete_exchange(vhost.exchanges["b"])
    assert "a" in vhost.exchanges, "it is still bound to itself"
    vhost.unbind(to_exchange("a", "a"))
    assert "a" not in vhost.exchanges
    assert not vhost._bindings_to


def test_a_binding_that_was_replaced_by_none_leaves_nothing(vhost: VHost) -> None:
    vhost.unbind(to_queue("no"))
    vhost.unbind(to_queue("x"))
    assert not vhost._bindings_to


@pytest.mark.parametrize(
    ("if_unused", "if_empty", "text"),
    [(False, True, "queue 'q' in vhost '/' not empty"), (True, False, None), (False, False, None)],
)
def test_conditions_of_a_delete(
    vhost: VHost, if_unused: bool, if_empty: bool, text: str | None
) -> None:
    queue = vhost.queues["q"]
    queue.ready.extend([Message(Publication.of("", "q", {}, 0), b"")])
    if text is None:
        vhost.check_unused(queue, if_unused=if_unused, if_empty=if_empty)
        return
    with pytest.raises(SoftError, match=text):
        vhost.check_unused(queue, if_unused=if_unused, if_empty=if_empty)
