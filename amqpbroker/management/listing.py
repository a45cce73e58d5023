"""Lists: sorted, filtered, cut into pages and columns as the query asks (FEATURES A18.4).

``page=1&page_size=100`` turns the list into an object with counts; ``name`` filters by part of a
name or with ``use_regex=true`` by expression; ``sort`` names a column, dots lead into nested ones;
``columns`` keeps only those named.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from anyio.lowlevel import checkpoint

from amqpbroker.auth.exceptions import InvalidRegexp
from amqpbroker.auth.principal import ADMINISTRATOR, MONITORING
from amqpbroker.auth.regexp_costs import TOO_COSTLY, is_cheap
from amqpbroker.management.call import Json
from amqpbroker.management.errors import ApiError, bad_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from amqpbroker.management.call import Call

T = TypeVar("T")
Row = dict[str, Any]

PAGE_SIZE: Final = 100
PAGE_SIZE_MAX: Final = 500
BATCH_COUNT: Final = 256
"""Rows made in one go; clients of AMQP get their turn in between."""
PATTERN_SIZE_MAX: Final = 256
"""Characters of a ``name`` that is an expression."""


class _Page(NamedTuple):
    number: int
    size: int


async def respond(
    call: Call,
    items: Iterable[T],
    describe: Callable[[T], Row],
    *,
    key: Callable[[T], tuple[str, ...]],
) -> Json:
    """Answer with a list; ``key`` is what items are sorted by if nothing else is asked for.

    The last part of ``key`` is the name. Only what is shown is described, unless the sort needs
    more. Raises :class:`~amqpbroker.management.errors.ApiError` 400.
    """
    query = call.request.query_params
    page = _page(query)
    ordered = sorted(items, key=key)
    total_count = len(ordered)
    wanted = _name_filter(call)
    if wanted is not None:
        ordered = [item for item in ordered if wanted(key(item)[-1])]
    column = query.get("sort", "")
    is_reverse = query.get("sort_reverse") == "true"
    filtered_count = len(ordered)
    _check_in_range(page, filtered_count)
    if not column:
        shown = _cut(ordered[::-1] if is_reverse else ordered, page)
        rows = await _describe(shown, describe)
    else:
        rows = await _describe(ordered, describe)
        rows.sort(key=lambda row: _sort_key(_pick(row, column)), reverse=is_reverse)
        rows = list(_cut(rows, page))
    rows = only_columns(query, rows)
    if page is None:
        return Json(rows)
    counts = {
        "filtered_count": filtered_count,
        "item_count": len(rows),
        "items": rows,
        "page": page.number,
        "page_count": -(-filtered_count // page.size),
        "page_size": page.size,
        "total_count": total_count,
    }
    return Json(counts)


async def _describe(items: Sequence[T], describe: Callable[[T], Row]) -> list[Row]:
    rows: list[Row] = []
    for start in range(0, len(items), BATCH_COUNT):
        rows += map(describe, items[start : start + BATCH_COUNT])
        await checkpoint()
    return rows


def _page(query: Mapping[str, str]) -> _Page | None:
    if "page" not in query:
        return None
    try:
        page = _Page(int(query["page"]), int(query.get("page_size", PAGE_SIZE)))
    except ValueError:
        raise bad_request("Pagination parameters are invalid") from None
    if page.number < 1 or not 1 <= page.size <= PAGE_SIZE_MAX:
        raise bad_request("Pagination parameters are invalid")
    return page


def _check_in_range(page: _Page | None, count: int) -> None:
    """Refuse a page that begins behind the end; the one right behind the last is empty."""
    if page is not None and (page.number - 1) * page.size > count:
        text = f"Page out of range, page: {page.number} page size: {page.size}, len: {count}"
        raise ApiError(400, "page_out_of_range", text)


def _cut(items: Sequence[T], page: _Page | None) -> Sequence[T]:
    if page is None:
        return items
    return items[(page.number - 1) * page.size : page.number * page.size]


def _name_filter(call: Call) -> Callable[[str], bool] | None:
    """Return what names must pass, None for all.

    An expression may take for ever and nothing would stop it, so that only users may give one who
    watch over the broker anyway, and only administrators one that could take long.
    """
    query = call.request.query_params
    name = query.get("name", "")
    if "page" not in query or not name:
        return None
    if query.get("use_regex") != "true":
        part = name.lower()
        return lambda text: part in text.lower()
    call.require(MONITORING)
    if len(name) > PATTERN_SIZE_MAX:
        raise bad_request("name: the expression is too long")
    try:
        pattern = re.compile(name, re.IGNORECASE)
        may_be_slow = not is_cheap(name)
    except (re.error, InvalidRegexp) as error:
        raise bad_request(f"name: {error}") from None
    if may_be_slow and not call.principal.has_tag(ADMINISTRATOR):
        raise bad_request(f"name: {TOO_COSTLY}")
    return lambda text: pattern.search(text) is not None


def _pick(row: Any, path: str) -> Any:
    for part in path.split("."):
        row = row.get(part) if isinstance(row, dict) else None
    return row


def _sort_key(value: Any) -> tuple[int, Any]:
    """Return a key that orders values of different types: nothing, numbers, text, the rest."""
    if value is None:
        return 0, 0
    if isinstance(value, bool | int | float):
        return 1, value
    return (2, value) if isinstance(value, str) else (3, str(value))


def only_columns(query: Mapping[str, str], rows: list[Row]) -> list[Row]:
    """Return rows with only the columns that the query names, all if it names none."""
    columns = [name for name in query.get("columns", "").split(",") if name]
    if not columns:
        return rows
    return [_only(row, columns) for row in rows]


def _only(row: Row, columns: Iterable[str]) -> Row:
    kept: Row = {}
    for column in columns:
        first, _, rest = column.partition(".")
        if first not in row:
            continue
        if rest and isinstance(row[first], dict):
            kept[first] = {**kept.get(first, {}), **_only(row[first], [rest])}
        else:
            kept[first] = row[first]
    return kept
