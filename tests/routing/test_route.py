"""The walk through exchanges: cycles, alternates, the default exchange; against a twin."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.routing.binding import Binding, Destination
from amqpbroker.routing.registry import create_exchange
from amqpbroker.routing.route import reachable, route
from tests.routing.samples import PlainMessage, exchange_of, queues_of, to_exchange, to_queue

if TYPE_CHECKING:
    from amqpbroker.routing.exchange import Exchange


def with_alternate(alternate: str, *bindings: Binding, name: str = "x") -> Exchange:
    arguments = {"alternate-exchange": ("S", alternate.encode())}
    return exchange_of("direct", *bindings, name=name, arguments=arguments)


def test_the_default_exchange_leads_to_the_queue_of_that_name() -> None:
    default = create_exchange("direct", "")
    queues = {"a": 1, "b": 2, "c": 3}
    assert route(default, PlainMessage("a"), {}, queues) == ["a"]
    assert route(default, PlainMessage("none"), {}, queues) == []
    message = PlainMessage("none", extra_keys=("c", "a", "c"))
    assert route(default, message, {}, queues) == ["c", "a"]


def test_the_default_exchange_never_looks_at_bindings() -> None:
    default = exchange_of("direct", to_queue("b", "a"), name="")
    assert route(default, PlainMessage("a"), {}, {"a", "b"}) == ["a"]


def test_as_alternate_the_default_exchange_drops() -> None:
    exchange = with_alternate("")
    default = create_exchange("direct", "")
    assert route(exchange, PlainMessage("q"), {"": default, "x": exchange}, {"q"}) == []


def test_a_queue_that_is_gone_is_left_out() -> None:
    exchange = exchange_of("fanout", to_queue("gone"), to_queue("here"))
    assert route(exchange, PlainMessage(), {}, {"here"}) == ["here"]


def test_a_queue_gets_one_copy_however_many_paths_lead_to_it() -> None:
    exchange = exchange_of("fanout", to_queue("q"), to_exchange("y"), to_exchange("z"))
    others = [exchange_of("fanout", to_queue("q"), to_queue(n), name=n) for n in "yz"]
    assert queues_of(exchange, PlainMessage(), others) == ["q", "y", "z"]


def test_cycles_end() -> None:
    exchange = exchange_of("fanout", to_exchange("x"), to_exchange("y"), to_queue("q"))
    other = exchange_of("fanout", to_exchange("x"), to_exchange("y"), to_queue("r"), name="y")
    assert queues_of(exchange, PlainMessage(), [other]) == ["q", "r"]


def test_a_bound_exchange_that_is_gone_is_passed_over() -> None:
    assert queues_of(exchange_of("fanout", to_exchange("gone"), to_queue("q")), PlainMessage()) == [
        "q"
    ]


def test_the_extra_keys_hold_in_bound_exchanges_too() -> None:
    exchange = exchange_of("fanout", to_exchange("y"))
    other = exchange_of("direct", to_queue("q", "cc"), name="y")
    assert queues_of(exchange, PlainMessage("k", extra_keys=("cc",)), [other]) == ["q"]


def test_the_alternate_gets_what_has_no_destination() -> None:
    exchange = with_alternate("y", to_queue("q", "k"))
    other = exchange_of("fanout", to_queue("r"), name="y")
    assert queues_of(exchange, PlainMessage("k"), [other]) == ["q"]
    assert queues_of(exchange, PlainMessage("none"), [other]) == ["r"]
    assert queues_of(exchange, PlainMessage("none", extra_keys=("k",)), [other]) == ["q"]


def test_a_bound_exchange_counts_as_destination_even_if_it_drops() -> None:
    exchange = with_alternate("y", to_exchange("z", "k"), to_exchange("gone", "l"))
    others = [exchange_of("fanout", to_queue("r"), name="y"), exchange_of("direct", name="z")]
    assert queues_of(exchange, PlainMessage("k"), others) == []
    assert queues_of(exchange, PlainMessage("l"), others) == []


def test_the_alternate_of_a_bound_exchange_is_used() -> None:
    exchange = exchange_of("fanout", to_exchange("y"))
    others = [with_alternate("z", name="y"), exchange_of("fanout", to_queue("q"), name="z")]
    assert queues_of(exchange, PlainMessage("k"), others) == ["q"]


def test_alternates_form_a_chain() -> None:
    others = [with_alternate("z", name="y"), exchange_of("fanout", to_queue("q"), name="z")]
    assert queues_of(with_alternate("y"), PlainMessage("k"), others) == ["q"]


def test_alternates_in_a_circle_end() -> None:
    others = [with_alternate("x", name="y")]
    assert queues_of(with_alternate("y"), PlainMessage("k"), others) == []
    assert queues_of(with_alternate("x"), PlainMessage("k")) == []


def test_a_missing_alternate_drops() -> None:
    assert queues_of(with_alternate("gone"), PlainMessage("k")) == []


def test_reachable_follows_bound_exchanges_and_alternates() -> None:
    exchange = exchange_of("fanout", to_exchange("y"), to_exchange("gone"))
    others = {
        "x": exchange,
        "y": with_alternate("z", to_exchange("x"), name="y"),
        "z": exchange_of("x-random", name="z"),
        "apart": exchange_of("fanout", name="apart"),
    }
    assert [found.name for found in reachable(exchange, others)] == ["x", "y", "z"]


@dataclass
class Graph:
    """Some exchanges, as plain data: the twin reads this, never an Exchange."""

    is_fanout: dict[str, bool]
    alternates: dict[str, str]
    edges: set[tuple[str, str, Destination]] = field(default_factory=set)

    def leads_to(self, name: str, keys: set[str]) -> set[Destination]:
        return {
            destination
            for source, key, destination in self.edges
            if source == name and (self.is_fanout[name] or key in keys)
        }

    def queues(self, start: str, keys: set[str]) -> set[str]:
        """Return the queues that a message reaches: the closure, by repeated passes."""
        seen, found = {start}, set[str]()
        while True:
            before = len(seen)
            for name in seen & self.is_fanout.keys():
                out = self.leads_to(name, keys)
                if not out and name in self.alternates:
                    out = {Destination("exchange", self.alternates[name])}
                found |= {target.name for target in out if target.kind == "queue"}
                seen = seen | {target.name for target in out if target.kind == "exchange"}
            if len(seen) == before:
                return found


NAMES = st.sampled_from("stuvw")
KEYS = st.sampled_from("kl")
DESTINATIONS = st.one_of(
    st.builds(Destination, st.just("exchange"), NAMES),
    st.builds(Destination, st.just("queue"), st.sampled_from("pqr")),
)
GRAPHS = st.builds(
    Graph,
    st.fixed_dictionaries({name: st.booleans() for name in "stuv"}),
    st.dictionaries(NAMES, NAMES),
    st.sets(st.tuples(st.sampled_from("stuv"), KEYS, DESTINATIONS), max_size=12),
)


@given(GRAPHS, st.lists(KEYS, min_size=1, max_size=2))
def test_agrees_with_the_twin_on_any_graph(graph: Graph, keys: list[str]) -> None:
    exchanges: dict[str, Exchange] = {}
    for name, is_fanout in graph.is_fanout.items():
        exchanges[name] = create_exchange("fanout" if is_fanout else "direct", name)
        exchanges[name].alternate = graph.alternates.get(name)
    for source, key, destination in graph.edges:
        exchanges[source].bind(Binding(source, destination, key))
    message = PlainMessage(keys[0], extra_keys=keys[1:])
    found = route(exchanges["s"], message, exchanges, {"p", "q", "r"})
    assert len(found) == len(set(found))
    assert set(found) == graph.queues("s", set(keys))
