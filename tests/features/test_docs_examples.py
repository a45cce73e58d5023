"""Every Python example of the README and of docs/ runs, and prints what the page says it prints.

A page's ``python`` block is a whole program. If a ``text`` block follows it, that is its output.
Only the addresses are replaced: the examples name the default ones.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

if TYPE_CHECKING:
    from tests.helpers import RunningBroker

REPO: Final = Path(__file__).parent.parent.parent
PAGES: Final = [REPO / "README.md", *sorted((REPO / "docs").glob("*.md"))]
DEFAULT_URL: Final = "amqp://guest:guest@localhost:5672/"
DEFAULT_HTTP: Final = "http://localhost:15672/"
BLOCK: Final = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?:\n?^```text\n(?P<output>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)


class Example(NamedTuple):
    """A program on a page; ``line`` is where it starts."""

    page: Path
    line: int
    code: str
    output: str | None

    def __str__(self) -> str:
        return f"{self.page.relative_to(REPO)}:{self.line}"


def examples(page: Path) -> list[Example]:
    text = page.read_text(encoding="utf-8")
    return [
        Example(page, text.count("\n", 0, match.start()) + 2, match["code"], match["output"])
        for match in BLOCK.finditer(text)
    ]


def blocks(page: str, language: str) -> list[str]:
    """Return what stands in a page's blocks of that kind; ``py`` is for what needs more set-up."""
    text = (REPO / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


EXAMPLES: Final = [example for page in PAGES for example in examples(page)]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 15


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_example_runs(example: Example, broker: RunningBroker, tmp_path: Path) -> None:
    assert DEFAULT_URL in example.code, "an example names the default address"
    program = tmp_path / f"{example.page.stem}.py"
    padding = "\n" * (example.line - 1)  # so that a traceback shows the page's own line
    code = example.code.replace(DEFAULT_URL, broker.url())
    code = code.replace(DEFAULT_HTTP, f"http://{broker.host}:{broker.management_port}/")
    program.write_text(padding + code)
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=15, check=False
    )
    assert done.returncode == 0, done.stderr
    if example.output is not None:
        assert done.stdout == example.output.replace("vhost '/'", f"vhost '{broker.vhost}'")
