"""Errors say what is the matter and what to do."""

from __future__ import annotations

import errno
import sqlite3

import pytest

from amqpbroker.storage.catalog.exceptions import damaged, explain


def sqlite_error(code: int, text: str) -> sqlite3.Error:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (sqlite3.SQLITE_FULL, "free some space"),
        (sqlite3.SQLITE_READONLY_DIRECTORY, "let the broker's user write"),
        (sqlite3.SQLITE_CANTOPEN, "its directory exists"),
        (sqlite3.SQLITE_BUSY, "stop the other broker"),
        (sqlite3.SQLITE_CORRUPT, "put back a backup"),
        (sqlite3.SQLITE_NOTADB, "put back a backup"),
        (sqlite3.SQLITE_IOERR_FSYNC, "check the disk"),
    ],
)
def test_a_code_of_sqlite_is_explained(code: int, advice: str) -> None:
    text = str(explain(sqlite_error(code, "its words"), "d/catalog.db"))
    assert text.startswith("catalog d/catalog.db: ")
    assert advice in text
    assert text.endswith("(its words)")


def test_an_unknown_error_keeps_its_words() -> None:
    assert str(explain(sqlite_error(9999, "strange"), "p")) == "catalog p: strange"
    assert str(explain(sqlite3.Error("odd"), "p")) == "catalog p: odd"
    assert str(explain(OSError(9999, "weird"), "p")) == "catalog p: weird"


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EROFS, "not mounted read-only"),
        (errno.EACCES, "let the broker's user write"),
        (errno.ENOENT, "its directory exists"),
    ],
)
def test_an_error_of_the_system_is_explained(number: int, advice: str) -> None:
    text = str(explain(OSError(number, "its words"), "p"))
    assert advice in text
    assert text.endswith("(its words)")


def test_damage_names_what_was_found() -> None:
    assert str(damaged("p", "row 3 missing\n")).endswith("definitions (row 3 missing)")
