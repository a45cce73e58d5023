"""A file is read, or refused with the place of the mistake."""

from __future__ import annotations

import pytest

from amqpbroker.definitions import models
from amqpbroker.definitions.exceptions import DefinitionsError
from amqpbroker.definitions.reading import read_document, read_item


def test_absent_lists_are_empty_and_unknown_keys_ignored() -> None:
    document = read_document(b'\xef\xbb\xbf{"queues": [{}], "rabbit_version": "3.8.0"}')
    assert document["queues"] == [{}]
    assert document["users"] == []
    assert "rabbit_version" not in document


def test_names_are_read_byte_by_byte() -> None:
    assert read_document(b'{"queues": ["\xff"]}')["queues"] == ["\udcff"]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'{"queues": [}', "expected JSON, found an error in line 1 column 13: Expecting value"),
        (b"", "expected JSON, found an error in line 1 column 1: Expecting value"),
        (b"[]", "expected an object with keys such as queues, found []"),
        (b'{"queues": {}}', "queues: expected a list, found {}"),
        (b'{"queues": [NaN]}', "expected JSON, found an error: NaN is no number in JSON"),
        (b"[" * 100_000, "expected JSON, found too deep a nesting"),
    ],
)
def test_a_broken_file(data: bytes, text: str) -> None:
    with pytest.raises(DefinitionsError) as caught:
        read_document(data)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([], "p: expected an object, found []"),
        ({"name": "u", "limits": 5}, "p.limits: expected an object, found 5"),
        ({}, "p.name: expected a value, found no such key"),
        ({"name": ""}, 'p.name: expected a name that is not empty, found ""'),
        ({"name": "u", "tags": 1}, "p.tags: expected a list of tags or text with commas, found 1"),
    ],
)
def test_a_broken_object(value: object, text: str) -> None:
    with pytest.raises(DefinitionsError) as caught:
        read_item(models.User, value, "p")
    assert str(caught.value) == text


def test_secrets_are_not_shown() -> None:
    with pytest.raises(DefinitionsError) as caught:
        read_item(models.User, {"name": "u", "password": ["secret"]}, "p")
    assert "secret" not in str(caught.value)


def test_booleans_and_choices() -> None:
    with pytest.raises(DefinitionsError, match=r'^p.durable: expected a boolean, found "yes"$'):
        read_item(models.Queue, {"name": "q", "durable": "yes"}, "p")
    binding = {"source": "x", "destination": "q", "destination_type": "topic"}
    expected = r"^p.destination_type: expected 'queue' or 'exchange', found \"topic\"$"
    with pytest.raises(DefinitionsError, match=expected):
        read_item(models.Binding, binding, "p")
