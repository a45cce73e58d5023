"""Check what no linter here checks: sizes, a test for every module, links, leftovers.

Only real folders are read; the three links at the top would show every file a second time.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

import pytest

REPO: Final = Path(__file__).parent.parent
FILE_LINES_MAX: Final = 600
FUNCTION_LINES_MAX: Final = 50
NESTING_MAX: Final = 4
POSITIONAL_MAX: Final = 5
METHODS_MAX: Final = 25

NEEDS_NO_TEST: Final = {
    "__init__.py": "re-exports only",
    "__main__.py": "one call of cli.main, run by tests/cli/test_app.py",
}
"""Names of modules without a test file of their own, and why."""

FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
BLOCKS: Final = (
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.With,
    ast.AsyncWith,
    ast.Try,
    ast.TryStar,
    ast.Match,
)
TEXT_SUFFIXES: Final = {".py", ".md", ".toml", ".sh", ".c", ".yml", ".yaml", ".json", ".conf", ""}
LEFTOVER: Final = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b")
MACHINE_PATH: Final = re.compile(r"(?<![\w.])/(?:wo" r"rk|tm" r"p/w)(?![\w-])")
NAMED_PATH: Final = re.compile(r"`((?:amqpbroker|tests|interop|docs)/[\w./-]*)`")
LINK: Final = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")


def in_repo(path: Path) -> str:
    return str(path.relative_to(REPO))


def python_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((REPO / folder).rglob("*.py"))]


def text_files() -> list[Path]:
    """Return what we write ourselves: the files at the top and in the folders of the repo."""
    folders = [REPO / name for name in ("amqpbroker", "tests", "interop", "docs", ".ci")]
    files = [path for folder in folders for path in sorted(folder.rglob("*"))]
    files += [path for path in sorted(REPO.iterdir()) if not path.name.startswith(".")]
    return [
        path
        for path in files
        if path.is_file() and path.suffix in TEXT_SUFFIXES and "__pycache__" not in path.parts
    ]


def nesting(node: ast.AST, depth: int = 0) -> int:
    """Return how deep blocks stand in blocks; elif does not deepen."""
    deepest = depth
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (*FUNCTIONS, ast.ClassDef, ast.Lambda)):
            continue
        is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
        deepest = max(deepest, nesting(child, depth + (isinstance(child, BLOCKS) and not is_elif)))
    return deepest


def code_lines(lines: list[str], node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count a function's lines without blanks, comments and its docstring."""
    body = lines[node.lineno - 1 : node.end_lineno]
    count = sum(bool(line.strip()) and not line.strip().startswith("#") for line in body)
    if ast.get_docstring(node) is not None:
        count -= (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
    return count


def positional(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the arguments that may be given by position, without self and cls."""
    names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def slug(heading: str) -> str:
    """Return the anchor that a heading of a Markdown page gets."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


SOURCES: Final = python_files("amqpbroker", "tests", "interop")
PAGES: Final = [path for path in text_files() if path.suffix == ".md"]


@pytest.mark.parametrize("path", SOURCES, ids=in_repo)
def test_sizes(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    assert len(lines) <= FILE_LINES_MAX
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, FUNCTIONS):
            assert code_lines(lines, node) <= FUNCTION_LINES_MAX, node.name
            assert nesting(node) <= NESTING_MAX, node.name
            assert positional(node) <= POSITIONAL_MAX, node.name
        if isinstance(node, ast.ClassDef):
            methods = [item for item in node.body if isinstance(item, FUNCTIONS)]
            assert len(methods) <= METHODS_MAX, node.name


@pytest.mark.parametrize("path", SOURCES, ids=in_repo)
def test_every_module_says_what_it_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not text.strip() or ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("path", python_files("amqpbroker"), ids=in_repo)
def test_every_module_has_a_test_of_its_name(path: Path) -> None:
    place = path.relative_to(REPO / "amqpbroker")
    if place.name in NEEDS_NO_TEST:
        pytest.skip(NEEDS_NO_TEST[place.name])
    assert (REPO / "tests" / place.parent / f"test_{place.name}").is_file()


@pytest.mark.parametrize("path", text_files(), ids=in_repo)
def test_no_leftovers(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not LEFTOVER.findall(text)
    assert not MACHINE_PATH.findall(text)


@pytest.mark.parametrize("path", PAGES, ids=in_repo)
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for match in LINK.finditer(text):
        target, _, anchor = match["target"].partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        page = path if not target else path.parent / target
        assert page.exists(), match["target"]
        if anchor:
            headings = re.findall(r"^#+ +(.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, match["target"]


@pytest.mark.parametrize("path", PAGES, ids=in_repo)
def test_files_that_a_page_names_are_there(path: Path) -> None:
    named = NAMED_PATH.findall(path.read_text(encoding="utf-8"))
    assert not [name for name in named if "NAME" not in name and not (REPO / name).exists()]


def test_every_page_of_docs_is_in_the_index() -> None:
    index = (REPO / "docs" / "README.md").read_text(encoding="utf-8")
    pages = {str(path.relative_to(REPO / "docs")) for path in (REPO / "docs").rglob("*.md")}
    assert pages - {match["target"] for match in LINK.finditer(index)} == {"README.md"}
