"""The broker runs on the C library's allocator where that can give memory back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from amqpbroker.allocator import libc_version, wanted_environment
from tests.helpers import start_broker

GLIBC = "glibc 2.36"


def test_the_broker_starts_again_with_all_it_was_given() -> None:
    assert wanted_environment(["serve", "--memory"], {"A": "b"}, GLIBC) == {
        "A": "b",
        "PYTHONMALLOC": "malloc",
    }


@pytest.mark.parametrize(
    ("arguments", "environment", "libc"),
    [
        ([], {}, GLIBC),
        (["log", "verify"], {}, GLIBC),
        (["serve"], {"PYTHONMALLOC": "pymalloc"}, GLIBC),
        (["serve"], {"PYTHONMALLOC": "malloc"}, GLIBC),
        (["serve"], {}, None),
        (["serve"], {}, "musl 1.2"),
    ],
)
def test_it_stays_where_that_would_not_help(
    arguments: list[str], environment: dict[str, str], libc: str | None
) -> None:
    assert wanted_environment(arguments, environment, libc) is None


@pytest.mark.skipif(not (libc_version() or "").startswith("glibc"), reason="needs glibc")
def test_a_served_broker_uses_it() -> None:
    if "PYTHONMALLOC" in os.environ:
        pytest.skip("an allocator is chosen already")
    with start_broker() as broker:
        assert broker.process is not None
        pid = broker.process.pid
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    assert b"PYTHONMALLOC=malloc" in environment
    assert b"serve" in arguments


def test_other_commands_run_as_they_are() -> None:
    command = [sys.executable, "-m", "amqpbroker", "--help"]
    assert b"serve" in subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
