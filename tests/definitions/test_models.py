"""The objects of a file are taken as RabbitMQ writes them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from amqpbroker.definitions import models


@pytest.mark.parametrize("tags", ["a, b,", ["a", "b"]])
def test_tags_are_a_list_or_text(tags: object) -> None:
    assert models.User.model_validate({"name": "u", "tags": tags}).tags == ("a", "b")


def test_unknown_keys_are_ignored() -> None:
    assert models.VHost.model_validate({"name": "v", "tracing": False, "new": {}}).name == "v"


@pytest.mark.parametrize("empty", [[], {}, None])
def test_an_empty_object_may_be_a_list(empty: object) -> None:
    assert models.VHost.model_validate({"name": "v", "limits": empty}).limits == {}


@pytest.mark.parametrize("name", ["", 5, "n" * 256, "\ud800"])
def test_names_that_amqp_cannot_say(name: object) -> None:
    with pytest.raises(ValidationError):
        models.Queue.model_validate({"name": name, "durable": True})


def test_a_name_need_not_be_utf8() -> None:
    assert models.Queue.model_validate({"name": "\udcff", "durable": True}).name == "\udcff"


def test_flags_are_not_guessed() -> None:
    with pytest.raises(ValidationError):
        models.Queue.model_validate({"name": "q", "durable": "yes"})
