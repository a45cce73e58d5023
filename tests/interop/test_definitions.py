"""What the comparison of exports takes for the same, and what not."""

from __future__ import annotations

from amqpbroker.definitions.checking import check
from amqpbroker.definitions.reading import read_document
from interop.definitions.document import comparable, own, sample
from tests.definitions.document import encoded, new_broker


async def test_the_sample_is_taken_whole() -> None:
    plan = await check(new_broker(), read_document(encoded(sample("p"))))
    assert plan.count == sum(map(len, comparable(sample("p")).values())) + 1
    assert not any(plan.left_out.values())


def test_only_what_has_the_prefix_is_looked_at() -> None:
    document = sample("mine")
    document["users"].append({"name": "guest"})
    document["queues"].append({"vhost": "/", "name": "q"})
    assert own(document, "mine") == sample("mine")


def test_order_and_spelling_do_not_count() -> None:
    one, other = sample("p"), sample("p")
    other["queues"].reverse()
    other["users"][0]["tags"] = "own,administrator"
    other["exchanges"][0]["arguments"] = dict(other["exchanges"][0]["arguments"])
    assert comparable(one) == comparable(other)


def test_a_changed_argument_counts() -> None:
    one, other = sample("p"), sample("p")
    other["queues"][1]["arguments"]["x-expires"] += 1
    assert comparable(one) != comparable(other)
