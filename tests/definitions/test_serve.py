"""``amqpbroker serve --definitions FILE`` imports the file before anybody can connect."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.definitions.document import HASH
from tests.helpers import START_DEADLINE_S, start_broker
from tests.management.http_api import HttpApi

if TYPE_CHECKING:
    from pathlib import Path


def test_a_broken_file_ends_the_start_with_one_line(tmp_path: Path) -> None:
    file = tmp_path / "d.json"
    queue = {"name": "q", "vhost": "/", "durable": True, "arguments": {"x-message-ttl": "5s"}}
    file.write_text(json.dumps({"queues": [queue]}))
    command = [sys.executable, "-m", "amqpbroker", "serve", "--data-dir", str(tmp_path / "data")]
    command += ["--port", "0", "--management-port", "off", "--definitions", str(file)]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=START_DEADLINE_S, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    lines = [line for line in ended.stderr.splitlines() if "cannot start" in line]
    assert len(lines) == 1
    assert f"{file}: queues[0].arguments.x-message-ttl: expected a valid arg" in lines[0]
    assert 'found "5s"' in lines[0]
    assert "Traceback" not in ended.stderr


def test_the_users_of_the_file_and_no_others(tmp_path: Path) -> None:
    file = tmp_path / "d.json"
    user = {"name": "u", "password_hash": HASH, "tags": "administrator"}
    file.write_text(json.dumps({"users": [user], "vhosts": [{"name": "v"}]}))
    with start_broker(definitions=file) as broker:
        api = HttpApi(broker.host, broker.management_port, "v")
        assert api("GET", "/vhosts").status == 401
        vhosts = api.as_user("u", "test12").get("/definitions")["vhosts"]
        assert [vhost["name"] for vhost in vhosts] == ["v"]
