"""Imports go one way: cli, server, management → broker → wire, routing, storage, auth.

The last four know nothing of each other, and ``wire`` and ``routing`` do no I/O and see no clock.
Imports for type checking count too: a name that a layer may not see, it may not mention.
"""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path
from typing import Final

import pytest

PACKAGE: Final = Path(__file__).parent.parent / "amqpbroker"
SOURCES: Final = sorted(PACKAGE.rglob("*.py"))

LEAVES: Final = {"wire", "routing", "storage", "auth"}
SHELL: Final = LEAVES | {"broker", "definitions", "config", "errors"}
MAY_IMPORT: Final[dict[str, set[str]]] = {
    "__init__": {"config"},
    "__main__": {"cli"},
    "cli": {"allocator", "server", "broker", "storage", "config", "errors", "log_format"},
    "server": SHELL
    | {
        "log_format",
        "logins",
        "management",
        "memory",
        "progress",
        "proxy_protocol",
        "resources",
        "tcp_stream",
        "tls_listener",
        "gathering",
        "turns",
        "gate",
    },
    "allocator": set(),
    "memory": set(),
    "turns": {"broker"},
    "gathering": set(),
    "progress": set(),
    "proxy_protocol": set(),
    "resources": {"broker", "config"},
    "tcp_stream": set(),
    "management": SHELL,
    "testing": SHELL | {"server", "management"},
    "definitions": LEAVES | {"broker", "config", "errors", "memory"},
    "broker": LEAVES | {"config", "errors"},
    "wire": {"errors"},
    "routing": {"errors"},
    "storage": {"errors"},
    "auth": {"errors"},
    "config": {
        "auth_settings",
        "definitions_settings",
        "rabbitmq_conf",
        "setting_types",
        "tls_settings",
    },
    "tls_settings": {"setting_types"},
    "tls_listener": {"auth", "config"},
    "gate": {"config"},
    "auth_settings": {"setting_types"},
    "http_client": {"auth"},
    "log_format": set(),
    "logins": {"auth", "config", "http_client"},
    "definitions_settings": set(),
    "setting_types": set(),
    "rabbitmq_conf": {"rabbitmq_conf_auth"},
    "rabbitmq_conf_auth": set(),
    "errors": set(),
}
"""Layer → the other layers that it may import. A layer is a folder or file of the package."""

SOCKETS: Final = {"socket", "ssl", "http", "urllib.request", "uvicorn", "fastapi"}
DATABASES: Final = {"aiosqlite", "sqlite3"}
CLOCKS_AND_TASKS: Final = {"time", "asyncio", "anyio", "uvloop", "threading", "subprocess", "os"}
MUST_NOT_IMPORT: Final[dict[str, set[str]]] = {
    "wire": SOCKETS | DATABASES | CLOCKS_AND_TASKS | {"logging", "pathlib", "pydantic"},
    "routing": SOCKETS | DATABASES | CLOCKS_AND_TASKS | {"logging", "pathlib", "pydantic"},
    "storage": SOCKETS | {"pydantic"},
    "auth": {"socket", "http", "urllib.request", "uvicorn", "fastapi", "pydantic"} | DATABASES,
    "broker": SOCKETS | DATABASES | {"pydantic"},
}
"""Layer → outside modules that it must do without."""


def layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST) -> set[str]:
    """Return the full names that a file imports, ``from a import b`` as ``a.b``."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def layers(names: set[str]) -> set[str]:
    """Return the layers among imported names; ``amqpbroker.__version__`` is none."""
    own = {name.split(".")[1] for name in names if name.startswith("amqpbroker.")}
    return {name for name in own if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()}


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_go_one_way(path: Path) -> None:
    here = layer(path)
    assert here in MAY_IMPORT, f"say in {__file__} what the layer {here} may import"
    seen = layers(imports(ast.parse(path.read_text(encoding="utf-8"))))
    assert seen - {here} <= MAY_IMPORT[here]


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_a_layer_does_without_what_is_not_its_own(path: Path) -> None:
    names = imports(ast.parse(path.read_text(encoding="utf-8")))
    banned = MUST_NOT_IMPORT.get(layer(path), set())
    assert not {name for name in names for ban in banned if f"{name}.".startswith(f"{ban}.")}


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if layer(path) in {"wire", "routing"}], ids=module_name
)
def test_sans_io_code_waits_for_nothing_and_opens_nothing(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not isinstance(node, (ast.AsyncFunctionDef, ast.Await))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"open", "print", "input"}


def test_no_module_imports_itself_round_a_corner() -> None:
    modules = {module_name(path): path for path in SOURCES}
    graph: dict[str, set[str]] = {}
    for name, path in modules.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        top = ast.Module([node for node in tree.body if not isinstance(node, ast.If)], [])
        top.body = [node for node in top.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        seen = imports(top)
        seen |= {imported.rpartition(".")[0] for imported in seen if imported not in modules}
        graph[name] = (seen & modules.keys()) - {name}
    graphlib.TopologicalSorter(graph).prepare()
