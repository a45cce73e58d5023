"""Rows of results as a table on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from interop.edges.stage import Row

WIDTH_MIN = 120
VERDICTS = {True: "[green]ok[/]", False: "[red]failed[/]", None: ""}


def console() -> Console:
    """Return standard output, wide enough for the tables."""
    return Console(width=max(WIDTH_MIN, Console().width))


def show(out: Console, title: str, rows: list[Row]) -> None:
    """Print one scenario's table."""
    table = Table(title=title, title_justify="left")
    for column in ("what", "measured", "limit", ""):
        table.add_column(column)
    for row in rows:
        table.add_row(escape(row.what), escape(row.measured), row.limit, VERDICTS[row.ok])
    out.print(table)
