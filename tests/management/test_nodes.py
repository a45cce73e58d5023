"""The node over HTTP (FEATURES A18.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpbroker.management.nodes import disk_free_size
from tests.management.http_api import quote, reason

if TYPE_CHECKING:
    from pathlib import Path

    from tests.management.http_api import HttpApi


def test_the_node_is_shown(api: HttpApi) -> None:
    shown = api.get("/nodes")
    assert [item["name"] for item in shown] == [api.get("/overview")["node"]]
    node = api.get(f"/nodes/{quote(shown[0]['name'])}")
    assert node["running"] is True
    assert node["partitions"] == []
    for fact in ("mem_used", "disk_free", "fd_used", "fd_total", "uptime", "processors"):
        assert node[fact] > 0, fact


@pytest.mark.deviates("RabbitMQ 3.10 answers 500")
def test_another_node_is_404(api: HttpApi) -> None:
    assert api("GET", "/nodes/nope").status == 404


def test_nodes_are_for_monitoring(manager: HttpApi) -> None:
    assert reason(manager("GET", "/nodes")) == (401, "Not monitor user")


def test_free_space_where_a_folder_will_be(tmp_path: Path) -> None:
    assert disk_free_size(tmp_path / "a" / "b") > 0
