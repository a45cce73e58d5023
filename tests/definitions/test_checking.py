"""A document is checked whole before anything is applied."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from amqpbroker.broker.metadata import VHostMetadata
from amqpbroker.definitions.exceptions import DefinitionsError
from tests.definitions.document import imported, new_broker, sample

UNKNOWN = 'expected one of classic, quorum, stream, found "mqtt"'


def changed(key: str, **values: Any) -> dict[str, Any]:
    """Return the sample with the object of a list changed."""
    document = sample()
    document[key][0].update(values)
    return document


@pytest.mark.parametrize(
    ("document", "start"),
    [
        (changed("vhosts", limits={"max-x": 1}), "vhosts[0].limits.max-x: expected a limit"),
        (changed("parameters", value=[1]), "parameters[0].value: expected an object, found [1]"),
        (changed("queues", vhost="w"), "queues[0].vhost: expected a vhost that is here or in the"),
        (changed("queues", vhost=None), "queues[0].vhost: expected the name of a vhost, found no"),
        (
            changed("queues", arguments={"x-message-ttl": "5s"}),
            'queues[0].arguments.x-message-ttl: expected a valid argument, found "5s": invalid arg',
        ),
        (
            changed("queues", arguments={"x-dead-letter-routing-key": "k"}),
            "queues[0].arguments.x-dead-letter-routing-key: expected a valid argument",
        ),
        (changed("queues", type="mqtt"), f"queues[0].type: {UNKNOWN}"),
        (
            changed("queues", arguments={"x-queue-type": "mqtt"}),
            f"queues[0].arguments.x-queue-type: {UNKNOWN}",
        ),
        (
            changed("queues", type="quorum", arguments={"x-queue-type": "classic"}),
            "queues[0].type: expected 'classic' as in its arguments, found \"quorum\"",
        ),
        (
            changed("queues", type="quorum", durable=False),
            "queues[0]: invalid property 'non-durable' for queue",
        ),
        (changed("exchanges", type="x-jms"), "exchanges[0].type: expected an exchange type (dir"),
        (
            changed("exchanges", arguments={"alternate-exchange": 5}),
            "exchanges[0].arguments.alternate-exchange: expected a valid argument, found 5",
        ),
        (changed("bindings", source="y"), "bindings[0].source: expected an exchange of vhost 'v'"),
        (changed("bindings", source=""), "bindings[0].source: expected an exchange of vhost 'v'"),
        (changed("bindings", destination="r"), "bindings[0].destination: expected a queue of vho"),
        (
            changed("bindings", destination="y", destination_type="exchange"),
            "bindings[0].destination: expected an exchange of vhost 'v', here or in the file",
        ),
        ({"policies": [{"name": "p", "definition": {}}]}, "policies[0].pattern: expected a value"),
    ],
)
async def test_a_mistake_is_named_and_nothing_changed(document: Any, start: str) -> None:
    broker = new_broker()
    with pytest.raises(DefinitionsError) as caught:
        await imported(broker, document)
    assert str(caught.value).startswith(start)
    assert "\n" not in str(caught.value)
    assert (list(broker.vhosts), list(broker.users.users)) == (["/"], ["guest"])


async def test_a_binding_that_its_exchange_refuses() -> None:
    document = changed("bindings", routing_key="heavy")
    document["exchanges"][0]["type"] = "x-consistent-hash"
    with pytest.raises(DefinitionsError, match=r"^bindings\[0\]: The binding key must be an"):
        await imported(new_broker(), document)


async def test_more_queues_than_the_vhost_may_have() -> None:
    broker = new_broker()
    broker.vhosts["/"].limits = {"max-queues": 1}
    document = {"queues": [{"name": name, "durable": True} for name in "ab"]}
    with pytest.raises(DefinitionsError, match=r"^queues\[1\]: expected at most 1 queues"):
        await imported(broker, document, vhost="/")
    assert not broker.vhosts["/"].queues


async def test_what_is_left_out_is_counted() -> None:
    document = sample()
    federated = {"federation-upstream-set": "all"}
    policy = {"vhost": "v", "name": "p", "pattern": "", "definition": federated}
    document["policies"] = [policy, policy]
    operator_policy = {"pattern": "", "definition": {"target-group-size": 3}, "priority": 0}
    document["parameters"] += [
        {"vhost": "v", "component": "operator_policy", "name": "o", "value": operator_policy},
        {"vhost": "v", "component": "shovel", "name": "s", "value": {}},
    ]
    document["global_parameters"] = [
        {"name": "internal_cluster_id", "value": "x"},
        {"name": "cluster_name", "value": "x"},
    ]
    document["vhosts"][0]["metadata"] = {"description": "d", "default_queue_type": "mqtt"}
    generated = {**document["queues"][0], "name": "amq.gen-1"}
    document["queues"].append(generated)
    document["bindings"].append({**document["bindings"][0], "destination": "amq.gen-1"})
    document["bindings"].append({**document["bindings"][0], "source": "amq.rabbitmq.event"})
    plan = await imported(new_broker(), document)
    assert plan.left_out == {
        "policies with settings of plugins": 2,
        "operator policies with unknown settings": 1,
        "parameters": 1,
        "default queue types of vhosts": 1,
        "queues named amq.*": 1,
        "bindings of what is named amq.*": 2,
    }


@pytest.mark.parametrize("is_nested", [True, False])
async def test_what_a_vhost_says_of_itself_is_taken(is_nested: bool) -> None:
    said = {"description": "d", "tags": ["a"], "default_queue_type": "classic"}
    broker, document = new_broker(), copy.deepcopy(sample())
    vhost = document["vhosts"][0]
    vhost.update({"metadata": said} if is_nested else said)
    plan = await imported(broker, document)
    assert plan.metadata == {vhost["name"]: VHostMetadata("d", ("a",), "classic")}
    assert broker.vhosts[vhost["name"]].metadata == plan.metadata[vhost["name"]]
    assert (await imported(broker, document)).metadata == {}


@pytest.mark.parametrize(("name", "value"), [("description", 1), ("tags", "a"), ("tags", [1])])
async def test_what_a_vhost_may_not_say_of_itself_is_named(name: str, value: object) -> None:
    document = copy.deepcopy(sample())
    document["vhosts"][0]["metadata"] = {name: value}
    with pytest.raises(DefinitionsError, match=rf"vhosts\[0\]\.{name}"):
        await imported(new_broker(), document)


async def test_a_file_of_one_vhost_goes_into_that_one() -> None:
    broker = new_broker()
    document = copy.deepcopy(sample())
    plan = await imported(broker, document, vhost="/")
    assert list(broker.vhosts) == ["/"]
    assert list(broker.vhosts["/"].queues) == ["q"]
    assert plan.left_out["users"] == 1


async def test_the_binding_that_every_queue_has_is_not_added() -> None:
    plan = await imported(new_broker(), changed("bindings", source="", routing_key="q"))
    assert plan.bindings == []


async def test_policies_are_planned_unless_they_are_there() -> None:
    document = sample()
    value = {"pattern": "^q", "definition": {"max-length": 5}, "priority": 2, "apply-to": "all"}
    document["policies"] = [{"vhost": "v", "name": "p", **value}]
    document["parameters"].append(
        {"vhost": "v", "component": "operator_policy", "name": "o", "value": value}
    )
    broker = new_broker()
    plan = await imported(broker, document)
    assert len(plan.policies) == 2
    policies = broker.vhosts["v"].policies
    assert policies.policies["p"].to_json() == policies.operator_policies["o"].to_json() == value
    assert broker.vhosts["v"].queues["q"].settings.max_length == 5
    assert (await imported(broker, document)).count == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"pattern": "[", "definition": {"max-length": 5}}, "value: pattern should be regular"),
        ({"pattern": "", "definition": {"max-length": -1}}, "value: -1 is not a valid maximum"),
        ({"pattern": ""}, "value.definition: expected an object, found null"),
        (1, "value: expected an object, found 1"),
    ],
)
async def test_a_wrong_policy_is_refused(value: object, text: str) -> None:
    document = sample()
    document["parameters"] = [
        {"vhost": "v", "component": "operator_policy", "name": "o", "value": value}
    ]
    with pytest.raises(DefinitionsError, match=re.escape(f"parameters[0].{text}")):
        await imported(new_broker(), document)


async def test_global_parameters_are_planned_unless_they_are_there() -> None:
    broker = new_broker()
    document = {"global_parameters": [{"name": "a", "value": None}, {"name": "b", "value": [1]}]}
    assert (await imported(broker, document)).count == 2
    assert broker.global_parameters == {"a": None, "b": [1]}
    assert (await imported(broker, document)).count == 0


async def test_limits_of_counts_and_of_rates_replace_their_own_kind() -> None:
    broker = new_broker()
    broker.vhosts["/"].limits = {"max-queues": 9, "max-publish-rate": 5}
    parameter = {"vhost": "/", "component": "vhost-limits", "name": "limits"}
    await imported(broker, {"parameters": [{**parameter, "value": {"max-connections": 3}}]})
    assert broker.vhosts["/"].limits == {"max-connections": 3, "max-publish-rate": 5}
    rates = {"max-publish-bytes-rate": 7}
    await imported(broker, {"vhosts": [{"name": "/", "publish_limits": rates}]})
    assert broker.vhosts["/"].limits == {"max-connections": 3, **rates}


async def test_users_keep_the_rates_that_a_file_does_not_name() -> None:
    broker = new_broker()
    broker.users.set_limits("guest", {"max-channels": 9, "max-publish-rate": 5})
    await imported(broker, {"users": [{"name": "guest", "limits": {"max-channels": 3}}]})
    assert broker.users.users["guest"].limits == {"max-channels": 3, "max-publish-rate": 5}
    await imported(broker, {"users": [{"name": "guest", "publish_limits": {}}]})
    assert broker.users.users["guest"].limits == {"max-channels": 3}
