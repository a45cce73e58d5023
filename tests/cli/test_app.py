"""The command line: flags reach the server as settings, mistakes end with 2 and no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from amqpbroker import __version__
from amqpbroker.cli.app import app

if TYPE_CHECKING:
    from amqpbroker.config import Config


class Server(ModuleType):
    """Stands for amqpbroker.server: keeps what it was asked to run."""

    def __init__(self) -> None:
        super().__init__("amqpbroker.server")
        self.configs: list[Config] = []
        self.exit_code = 0

    def run(self, config: Config) -> int:
        self.configs.append(config)
        return self.exit_code


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Server:
    fake = Server()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "amqpbroker.server", fake)
    return fake


def test_serve_runs_the_server_with_the_defaults(server: Server) -> None:
    assert CliRunner().invoke(app, ["serve"]).exit_code == 0
    assert server.configs[0].port == 5672


def test_every_flag_becomes_a_setting(server: Server) -> None:
    Path("x.pem").touch()
    Path("d.json").touch()
    Path("c.toml").write_text("heartbeat_s = 5")
    line = (
        "serve --config c.toml --data-dir data --host ::1 --port 0 --tls-port 0 --tls-cert x.pem"
        " --tls-key x.pem --tls-ca x.pem --management-port off --definitions d.json"
        " --log-level error"
    )
    result = CliRunner().invoke(app, line.split())
    assert result.exit_code == 0, result.output
    config = server.configs[0]
    assert (config.host, config.port, config.tls_port, config.heartbeat_s) == ("::1", 0, 0, 5)
    assert (config.data_dir, config.tls_ca) == (Path("data"), Path("x.pem"))
    assert (config.management_port, config.definitions) == (None, Path("d.json"))
    assert config.log_level == "error"


def test_memory_is_a_flag(server: Server) -> None:
    assert CliRunner().invoke(app, ["serve", "--memory"]).exit_code == 0
    assert server.configs[0].is_memory


def test_memory_and_data_folder_exclude_each_other(server: Server) -> None:
    result = CliRunner().invoke(app, ["serve", "--memory", "--data-dir", "d"])
    assert result.exit_code == 2
    assert not server.configs


def test_the_servers_exit_code_is_the_commands(server: Server) -> None:
    server.exit_code = 3
    assert CliRunner().invoke(app, ["serve"]).exit_code == 3


def test_a_bad_setting_is_one_line_and_exit_code_2(server: Server) -> None:
    result = CliRunner().invoke(app, ["serve", "--port", "x"])
    assert result.exit_code == 2
    assert result.stderr == "amqpbroker: error: --port: found 'x', expected a whole number\n"
    assert not server.configs


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"amqpbroker {__version__}\n")


def test_module_and_command_are_the_same() -> None:
    command = [sys.executable, "-m", "amqpbroker", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=15, check=True)
    assert done.stdout == f"amqpbroker {__version__}\n"


def test_serve_loads_nothing_slow_before_the_server() -> None:
    code = """if True:
        import sys, types
        server = types.ModuleType("amqpbroker.server")
        slow = {"rich", "fastapi", "uvicorn", "cryptography", "aiosqlite", "pamqp"}
        server.run = lambda config: print(sorted(slow & set(sys.modules))) or 0
        sys.modules["amqpbroker.server"] = server
        from amqpbroker.cli import main
        main()
    """
    command = [sys.executable, "-c", code, "serve", "--memory"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=15, check=True)
    assert done.stdout == "[]\n"
