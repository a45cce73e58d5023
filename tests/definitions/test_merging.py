"""Several documents are one, and a mistake is named where it stands."""

from __future__ import annotations

import pytest

from amqpbroker.definitions import DefinitionsError
from amqpbroker.definitions.merging import merge
from amqpbroker.definitions.sources import Part
from tests.definitions.document import encoded


def test_lists_stand_behind_each_other() -> None:
    merged = merge(
        [
            Part("a.json", encoded({"queues": [{"name": "1"}], "vhosts": []})),
            Part("b.json", encoded({"queues": [{"name": "2"}, {"name": "3"}]})),
        ]
    )
    assert [queue["name"] for queue in merged.document["queues"]] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("path", "located"),
    [
        ("queues[0].name", "a.json: queues[0].name"),
        ("queues[1]", "b.json: queues[0]"),
        ("queues[2].arguments.x-expires", "b.json: queues[1].arguments.x-expires"),
        ("queues", "queues"),
    ],
)
def test_a_mistake_is_located_in_its_document(path: str, located: str) -> None:
    merged = merge(
        [
            Part("a.json", encoded({"queues": [{}]})),
            Part("b.json", encoded({"queues": [{}, {}]})),
        ]
    )
    assert merged.located(DefinitionsError(path, "text")).path == located


def test_the_only_document_is_not_named() -> None:
    merged = merge([Part("", encoded({"queues": [{}]}))])
    assert merged.located(DefinitionsError("queues[0]", "text")).path == "queues[0]"


def test_a_document_that_is_no_json_is_named() -> None:
    with pytest.raises(DefinitionsError, match=r"^b\.json: expected JSON"):
        merge([Part("a.json", b"{}"), Part("b.json", b"{")])
