"""Build the load generator, once per version of its source, into the user's cache folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import zlib
from pathlib import Path

SOURCE = Path(__file__).parent / "amqpload.c"


class BuildFailed(Exception):
    """No compiler, no librabbitmq, or the source does not compile."""


def build_amqpload() -> Path:
    """Return the path of the built program.

    Raises:
        BuildFailed: with what to install.
    """
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise BuildFailed("no C compiler: apt install gcc libc6-dev, or set CC")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "amqpbroker"
    program = cache / f"amqpload-{zlib.crc32(SOURCE.read_bytes()):08x}"
    if program.exists():
        return program
    cache.mkdir(parents=True, exist_ok=True)
    half = program.with_suffix(f".{os.getpid()}")
    command = [compiler, "-O2", "-o", str(half), str(SOURCE), "-lrabbitmq", "-lpthread"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        is_missing = "amqp.h" in result.stderr or "-lrabbitmq" in result.stderr
        hint = "librabbitmq is missing: apt install librabbitmq-dev\n" if is_missing else ""
        raise BuildFailed(hint + result.stderr)
    half.replace(program)
    return program
