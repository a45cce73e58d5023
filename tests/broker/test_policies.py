"""Which policy is in force for what, and what becomes of it (FEATURES A13, S12)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from amqpbroker.broker.bodies import in_memory
from amqpbroker.broker.policies import NOTHING_IN_FORCE, Policy, in_order, merge
from amqpbroker.broker.settings import ORDINARY, QueueSettings
from tests.broker.clock import Clock

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker
    from amqpbroker.broker.policies import Policies
    from tests.broker.client import MemoryClient


@pytest.fixture
def policies(broker: Broker) -> Policies:
    """The policies of the default vhost."""
    return broker.vhosts["/"].policies


def policy(name: str = "p", pattern: str = "", **options: Any) -> Policy:
    """Return a policy; what is no option is a setting, with - for _."""
    known = {key: options.pop(key) for key in ("priority", "apply_to") if key in options}
    definition = {key.replace("_", "-"): value for key, value in options.items()}
    return Policy(name, pattern, definition, **known)


def bodies(client: MemoryClient, queue: str) -> list[bytes]:
    return in_memory(list(client.queue(queue).ready))


# pure


def test_a_number_in_both_is_the_lower_one() -> None:
    assert merge({"max-length": 3, "expires": 9}, {"max-length": 5, "expires": 8}) == {
        "expires": 8,
        "max-length": 3,
    }


def test_what_only_one_says_is_in_force() -> None:
    merged = merge({"overflow": "drop-head"}, {"message-ttl": 1})
    assert merged == {"message-ttl": 1, "overflow": "drop-head"}


def test_the_highest_priority_comes_first_then_the_first_name() -> None:
    items = [policy("b"), policy("a"), policy("d", priority=-1), policy("c", priority=0.5)]
    assert list(in_order(items)) == ["c", "a", "b", "d"]


@pytest.mark.parametrize(
    ("pattern", "name", "is_match"),
    [
        ("", "anything", True),
        ("", "", True),
        ("b", "abc", True),
        ("^b", "abc", False),
        (r"\.log$", "x.log", True),
        ("^.$", "ü", False),
    ],
)
def test_a_pattern_is_searched_in_the_bytes_of_a_name(
    pattern: str, name: str, *, is_match: bool
) -> None:
    assert policy(pattern=pattern).matches(name) is is_match


def test_a_policy_goes_to_json_and_back() -> None:
    item = policy("p", "^q", priority=1.5, apply_to="queues", max_length=1)
    text = '{"pattern":"^q","definition":{"max-length":1},"priority":1.5,"apply-to":"queues"}'
    assert Policy.from_json("p", text) == item
    assert item.to_json() == {
        "pattern": "^q",
        "definition": {"max-length": 1},
        "priority": 1.5,
        "apply-to": "queues",
    }


# what is in force


@pytest.mark.parametrize(
    ("apply_to", "expected"),
    [
        ("all", (True, True)),
        ("queues", (True, False)),
        ("classic_queues", (True, False)),
        ("exchanges", (False, True)),
        ("quorum_queues", (False, False)),
        ("streams", (False, False)),
    ],
)
def test_what_a_policy_applies_to(
    policies: Policies,
    client: MemoryClient,
    apply_to: str,
    expected: tuple[bool, bool],
) -> None:
    client.declare("q")
    policies.put(policy(apply_to=apply_to, max_length=1))
    exchange = client.broker.vhosts["/"].exchanges["amq.direct"]
    of_queue, of_exchange = policies.of_queue(client.queue("q")), policies.of_exchange(exchange)
    assert (of_queue.policy is not None, of_exchange.policy is not None) == expected


@pytest.mark.parametrize("key", ["delivery-limit", "max-age", "initial-cluster-size"])
def test_a_policy_for_other_queue_types_leaves_room_for_another(
    policies: Policies, client: MemoryClient, key: str
) -> None:
    client.declare("q")
    policies.put(Policy("high", "", {key: 1, "max-length": 1}, 1))
    assert policies.of_queue(client.queue("q")) is NOTHING_IN_FORCE
    policies.put(policy("low", max_length=2))
    assert policies.of_queue(client.queue("q")).definition == {"max-length": 2}


@pytest.mark.parametrize("key", ["queue-mode", "max-age", "queue-master-locator", "ha-mode"])
def test_what_is_not_for_quorum_queues_is_not_for_them_at_all(
    policies: Policies, client: MemoryClient, key: str
) -> None:
    client.declare("q", {"x-queue-type": ("S", b"quorum")}, durable=True)
    policies.put(Policy("high", "", {key: 1, "max-length": 1}, 1))
    assert policies.of_queue(client.queue("q")) is NOTHING_IN_FORCE
    policies.put(Policy("low", "", {"delivery-limit": 2}, apply_to="quorum_queues"))
    assert client.queue("q").settings == QueueSettings(delivery_limit=2)


def test_one_policy_and_one_operator_policy_are_merged(
    policies: Policies, client: MemoryClient
) -> None:
    client.declare("q")
    policies.put(policy("p", max_length=7, overflow="drop-head"))
    policies.put(policy("o", max_length=5, expires=9), is_operator=True)
    found = policies.of_queue(client.queue("q"))
    assert found.policy is not None
    assert found.operator_policy is not None
    assert (found.policy.name, found.operator_policy.name) == ("p", "o")
    assert found.definition == {"expires": 9, "max-length": 5, "overflow": "drop-head"}
    assert client.queue("q").settings == QueueSettings(max_length=5, expires_ms=9)


def test_a_queue_that_comes_later_has_the_policy_too(
    policies: Policies, client: MemoryClient
) -> None:
    policies.put(policy(pattern="^q", max_length=1))
    client.declare("q")
    client.declare("other")
    assert client.queue("q").settings.max_length == 1
    assert client.queue("other").settings is ORDINARY
    assert client.queue("other").is_ordinary


# live (A13.5)


def test_too_long_a_queue_is_cut_at_the_head_at_once(
    policies: Policies, client: MemoryClient
) -> None:
    client.publish(client.declare("q"), *[b"1", b"2", b"3"])
    client.declare("grave")
    policies.put(
        policy(
            pattern="^q$", max_length=1, dead_letter_exchange="", dead_letter_routing_key="grave"
        )
    )
    assert (bodies(client, "q"), bodies(client, "grave")) == ([b"3"], [b"1", b"2"])


def test_a_refusing_queue_keeps_what_it_has(policies: Policies, client: MemoryClient) -> None:
    client.publish(client.declare("q"), *[b"1", b"2", b"3"])
    policies.put(policy(max_length=1, overflow="reject-publish"))
    assert bodies(client, "q") == [b"1", b"2", b"3"]


def test_without_its_policy_a_queue_is_as_declared(
    policies: Policies, client: MemoryClient
) -> None:
    client.declare("q")
    policies.put(policy(max_length=1))
    policies.delete("p")
    client.publish("q", *[b"1", b"2", b"3"])
    assert bodies(client, "q") == [b"1", b"2", b"3"]
    assert client.queue("q").is_ordinary
    assert not policies


def test_replacing_a_policy_moves_it_to_other_names(
    policies: Policies, client: MemoryClient
) -> None:
    client.declare("a")
    client.declare("b")
    policies.put(policy(pattern="^a", max_length=1))
    policies.put(policy(pattern="^b", max_length=2))
    assert client.queue("a").settings is ORDINARY
    assert client.queue("b").settings.max_length == 2


def test_a_time_to_live_is_that_of_messages_to_come(
    broker: Broker, policies: Policies, client: MemoryClient
) -> None:
    clock = broker.timers.now = Clock()
    client.publish(client.declare("q"), b"old")
    policies.put(policy(message_ttl=1000))
    client.publish("q", b"new")
    clock.now += 1.5
    broker.timers.fire()
    assert bodies(client, "q") == [b"old"]


def test_a_queue_expires_counted_from_the_policy(
    broker: Broker, policies: Policies, client: MemoryClient
) -> None:
    clock = broker.timers.now = Clock()
    client.declare("q")
    clock.now += 10
    policies.put(policy(expires=1000))
    clock.now += 0.5
    broker.timers.fire()
    assert "q" in broker.vhosts["/"].queues
    clock.now += 1
    broker.timers.fire()
    assert "q" not in broker.vhosts["/"].queues


def test_a_lease_ends_with_its_policy(
    broker: Broker, policies: Policies, client: MemoryClient
) -> None:
    clock = broker.timers.now = Clock()
    client.declare("q")
    policies.put(policy(expires=1000))
    policies.delete("p")
    clock.now += 5
    broker.timers.fire()
    assert "q" in broker.vhosts["/"].queues


def test_an_alternate_exchange_comes_and_goes(policies: Policies, broker: Broker) -> None:
    vhost = broker.vhosts["/"]
    exchange = vhost.exchanges["amq.direct"]
    epoch = vhost.epoch
    policies.put(policy(pattern="^amq.direct", alternate_exchange="amq.fanout"))
    assert exchange.alternate == "amq.fanout"
    assert vhost.epoch is not epoch
    policies.delete("p")
    assert exchange.alternate is None


def test_routes_are_kept_if_no_alternate_exchange_changes(
    policies: Policies, broker: Broker
) -> None:
    epoch = broker.vhosts["/"].epoch
    policies.put(policy(max_length=1))
    assert broker.vhosts["/"].epoch is epoch


def test_a_change_is_made_in_steps_with_turns_for_others(
    policies: Policies, client: MemoryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amqpbroker.broker.policies.STEP_COST", 1)
    queues = [client.queue(client.declare(name)) for name in "abc"]
    steps = policies.putting(policy(max_length=1))
    next(steps)
    assert policies.policies
    assert [queue.settings.max_length for queue in queues] == [None, None, None]
    next(steps)
    assert [queue.settings.max_length for queue in queues] == [1, None, None]
    client.delete("b")
    client.declare("d")
    policies.put(policy(max_length=2))
    list(steps)
    assert [queue.settings.max_length for queue in queues] == [2, None, 2]
    assert client.queue("d").settings.max_length == 2
