"""What a broker must refuse, and that it does no harm by it.

Each scenario fills a data directory, spoils something, and starts the broker: it must end with exit
code 1 and one line of error that says what to do, without a traceback. When the cause is gone the
broker must start, with every message there. The last scenarios fill the disk of a broker that runs.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import sys
import traceback
from typing import TYPE_CHECKING, Final

from amqpbroker.storage.crc32c import extend
from amqpbroker.storage.encryption import new_key_line
from interop.crash import full_disk
from interop.crash.client import connect
from interop.crash.load import DIRECT, contents, declare
from interop.crash.process import BrokerProcess, NotStarted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

COUNT: Final = 50
NO_SETTINGS: Final[Mapping[str, str]] = {}
WITHOUT_PRIVILEGES: Final = (
    sys.executable,
    "-c",
    # Root may write everywhere; without CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH the modes count.
    "import ctypes, os, sys; prctl = ctypes.CDLL(None).prctl;"
    "prctl(24, 1, 0, 0, 0); prctl(24, 2, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])",
)
"""A command that runs the command behind it with no more rights than the owner of the files."""


class Failure(Exception):
    """The broker did not behave."""


def expect(is_so: bool, what: str) -> None:
    """Raise Failure unless something is as it should be."""
    if not is_so:
        raise Failure(what)


def fill(data_dir: Path, settings: Mapping[str, str] = NO_SETTINGS) -> None:
    """Have messages in a data directory."""
    broker = BrokerProcess(data_dir, settings)
    asyncio.run(_fill(broker.port))
    expect(broker.stop() == 0, "the exit code on SIGTERM is not 0")


async def _fill(port: int) -> None:
    await declare(port)
    connection = await connect(port)
    for number in range(1, COUNT + 1):
        connection.publish(f"kept-{number}", routing_key=DIRECT)
    await connection.close()


def expect_all_there(data_dir: Path, settings: Mapping[str, str] = NO_SETTINGS) -> None:
    """Start the broker: nothing may be missing."""
    broker = BrokerProcess(data_dir, settings)
    found = [item.name for item in asyncio.run(contents(broker.port))[DIRECT]]
    code = broker.stop()
    expect(found == [f"kept-{number}" for number in range(1, COUNT + 1)], f"it holds {found}")
    expect(code == 0, "the exit code on SIGTERM is not 0")


def expect_refusal(
    data_dir: Path,
    words: str,
    settings: Mapping[str, str] = NO_SETTINGS,
    prefix: Sequence[str] = (),
) -> None:
    """Start the broker: it must end with one line that contains ``words``."""
    try:
        BrokerProcess(data_dir, settings, prefix=prefix).kill()
    except NotStarted as error:
        lines = [line for line in error.log.splitlines() if " ERROR " in line]
        expect("Traceback" not in error.log, f"there is a traceback:\n{error.log}")
        expect(len(lines) == 1, f"not one line of error:\n{error.log}")
        expect(words in lines[0], f"expected {words!r}: {lines[0]}")
        expect(error.exit_code == 1, f"the exit code is {error.exit_code}")
        return
    raise Failure("it has started")


def second_broker(data_dir: Path) -> None:
    """A second broker on the same directory; the first goes on."""
    fill(data_dir)
    first = BrokerProcess(data_dir, NO_SETTINGS)
    expect_refusal(data_dir, "stop the other broker")
    asyncio.run(declare(first.port))
    expect(first.stop() == 0, "the first broker's exit code on SIGTERM is not 0")
    expect_all_there(data_dir)


def read_only_directory(data_dir: Path) -> None:
    """A data directory that may only be read."""
    fill(data_dir)
    folders = [data_dir, data_dir / "shard-0"]
    for folder in folders:
        folder.chmod(0o500)
    expect_refusal(data_dir, "let the broker's user write", prefix=WITHOUT_PRIVILEGES)
    folders[0].chmod(0o700)
    # Now the catalog can be written, but not the log.
    (data_dir / "shard-0" / "lock").unlink()
    expect_refusal(data_dir, "check the owner and the mode", prefix=WITHOUT_PRIVILEGES)
    folders[1].chmod(0o700)
    expect_all_there(data_dir)


def newer_log(data_dir: Path) -> None:
    """A log that a later version has written."""
    fill(data_dir)
    manifest = data_dir / "shard-0" / "manifest"
    kept = manifest.read_bytes()
    line = json.dumps(json.loads(kept.splitlines()[0]) | {"format": 99}).encode()
    manifest.write_bytes(b"%b\n%08x\n" % (line, extend(0, line)))
    expect_refusal(data_dir, "start the version that wrote it")
    manifest.write_bytes(kept)
    expect_all_there(data_dir)


def newer_catalog(data_dir: Path) -> None:
    """A catalog that a later version has written."""
    fill(data_dir)
    version = _set_catalog_version(data_dir, 99)
    expect_refusal(data_dir, "install the newer amqpbroker again")
    _set_catalog_version(data_dir, version)
    expect_all_there(data_dir)


def _set_catalog_version(data_dir: Path, version: int) -> int:
    connection = sqlite3.connect(data_dir / "catalog.sqlite")
    before = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    return int(before)


def missing_half(data_dir: Path) -> None:
    """A log without its catalog, and a catalog without its log."""
    fill(data_dir)
    aside = data_dir.parent / "aside"
    for name, words in [("catalog.sqlite", "put the catalog back"), ("shard-0", "put it back")]:
        (data_dir / name).rename(aside)
        expect_refusal(data_dir, words)
        made = data_dir / name
        if made.is_file():
            made.unlink()
        aside.rename(made)
    expect_all_there(data_dir)


def key_file(data_dir: Path) -> None:
    """A key file that is missing, unreadable, another one, or not named at all."""
    keys, others = data_dir.parent / "keys", data_dir.parent / "others"
    for path in (keys, others):
        path.write_text(new_key_line(1))
        path.chmod(0o600)
    right = {"encryption_key_file": str(keys)}
    fill(data_dir, right)
    expect_refusal(data_dir, "give the key file")
    expect_refusal(data_dir, "another key 1", {"encryption_key_file": str(others)})
    expect_refusal(data_dir, "cannot read the key file", {"encryption_key_file": f"{keys}.gone"})
    keys.chmod(0)
    expect_refusal(data_dir, "cannot read the key file", right, WITHOUT_PRIVILEGES)
    keys.chmod(0o600)
    expect_all_there(data_dir, right)


def damage(data_dir: Path) -> None:
    """A byte of the log that has changed in the middle."""
    fill(data_dir)
    segment = sorted((data_dir / "shard-0").glob("*.log"))[0]
    kept = segment.read_bytes()
    position = kept.index(b"kept-7 ")
    segment.write_bytes(kept[:position] + b"K" + kept[position + 1 :])
    expect_refusal(data_dir, "amqpbroker log repair")
    segment.write_bytes(kept)
    expect_all_there(data_dir)


SCENARIOS: Final[dict[str, Callable[[Path], None]]] = {
    "second-broker": second_broker,
    "read-only-directory": read_only_directory,
    "newer-log": newer_log,
    "newer-catalog": newer_catalog,
    "missing-half": missing_half,
    "key-file": key_file,
    "damage": damage,
    "disk-full": full_disk.fills_up,
    "killed-on-a-full-disk": full_disk.killed_when_full,
}


def run_scenarios(folder: Path) -> int:
    """Run all scenarios in a folder; print what failed, and return how many that were."""
    failures = 0
    for name, scenario in SCENARIOS.items():
        place = folder / name
        place.mkdir()
        try:
            scenario(place / "data")
        except Exception as error:
            failures += 1
            print(f"{name}: {error if isinstance(error, Failure) else traceback.format_exc()}")
        else:
            print(f"{name}: as it should be")
        shutil.rmtree(place, ignore_errors=True)
    return failures
