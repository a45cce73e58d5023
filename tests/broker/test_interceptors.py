"""What is added to incoming messages (FEATURES A5.17, A5.18)."""

from __future__ import annotations

from typing import Any

import pytest

from amqpbroker.broker.interceptors import Interceptors
from amqpbroker.config import Config
from amqpbroker.wire.content import Publication
from amqpbroker.wire.table import Field

NOW_MS = 1_700_000_000_123


def applied(settings: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
    """Return the properties of a message that came in under ``settings``."""
    config = Config(cluster_name="rabbit@here", **settings)
    interceptors = Interceptors(config, lambda: NOW_MS)
    assert interceptors.is_active
    return interceptors.apply(Publication.of("x", "k", properties, 3)).properties


def test_nothing_is_added_unless_told() -> None:
    assert not Interceptors(Config(), lambda: NOW_MS).is_active


@pytest.mark.parametrize("mode", ["keep", "overwrite"])
def test_the_time_of_arrival_is_added(mode: str) -> None:
    properties = applied({"set_header_timestamp": mode}, {"app_id": "a"})
    assert properties == {
        "app_id": "a",
        "timestamp": 1_700_000_000,
        "headers": {"timestamp_in_ms": Field("l", NOW_MS)},
    }


def test_what_the_publisher_said_is_kept_or_overwritten() -> None:
    sent = {"timestamp": 7, "headers": {"timestamp_in_ms": Field("l", 7000)}}
    assert applied({"set_header_timestamp": "keep"}, sent) == sent
    overwritten = applied({"set_header_timestamp": "overwrite"}, sent)
    assert overwritten["timestamp"] == 1_700_000_000
    assert overwritten["headers"] == {"timestamp_in_ms": Field("l", NOW_MS)}


def test_the_node_is_added_once() -> None:
    mine = Field("S", b"rabbit@here")
    assert applied({"set_header_routing_node": "keep"}, {})["headers"] == {"x-routed-by": mine}
    sent = {"headers": {"x-routed-by": Field("S", b"other")}}
    assert applied({"set_header_routing_node": "keep"}, sent) == sent
    assert applied({"set_header_routing_node": "overwrite"}, sent)["headers"] == {
        "x-routed-by": mine
    }
