"""``amqpbroker log``: what it shows, what it mends, and when it refuses."""

from __future__ import annotations

import base64
import json
import os
import re
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from typer.testing import CliRunner

from amqpbroker.cli import app as cli
from amqpbroker.storage.disk import DirectoryDisk
from amqpbroker.storage.encryption import Keyring
from amqpbroker.storage.options import LogOptions
from amqpbroker.storage.segment_log import create_store, open_store
from amqpbroker.storage.shard_record import (
    EnqueueRecord,
    encode_enqueue,
    encode_return,
    encode_settle,
)

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

ENQUEUE = EnqueueRecord(1, 2, (4, 5), b"e", b"key", b"\x10\0\x02", 3, b"abcdef", 99)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory whose log has some segments, the last of them not closed."""
    make_log(tmp_path)
    return tmp_path


def make_log(data_dir: Path, keyring: Keyring | None = None) -> None:
    disk = DirectoryDisk(data_dir / "shard-0")
    disk.create_directory()
    options = LogOptions(segment_size=400, keyring=keyring, now_ms=lambda: 1_700_000_000_123)
    store = create_store(disk, options, UUID(int=7))
    writer = store.fence(-1, 1, "pid 7")
    store.append(writer, [encode_enqueue(ENQUEUE), encode_settle(4, [1, 2, 5])])
    for number in range(3, 8):
        record = EnqueueRecord(number, 1, (4,), b"", b"q", b"\0\0", 200, b"x" * 200, 5)
        store.append(writer, [encode_enqueue(record)])
    store.append(writer, [b"\x09what?"])
    store.close()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, ["log", *map(str, arguments)])


def segments(data_dir: Path) -> list[Path]:
    return sorted((data_dir / "shard-0").glob("*.log"))


def spoil(path: Path, position: int = 170) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0xFF
    path.write_bytes(data)


def contents(data_dir: Path) -> dict[str, bytes]:
    folder = data_dir / "shard-0"
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "lock"}


# verify


def test_verify_lists_the_segments_of_a_sound_log(data_dir: Path) -> None:
    before = contents(data_dir)
    result = run("verify", "--data-dir", data_dir)
    assert result.exit_code == 0, result.output
    for path in segments(data_dir):
        assert path.name in result.stdout
    assert result.stdout.endswith("sound; the last offset is 7\n")
    assert contents(data_dir) == before


def test_verify_names_what_is_damaged_and_what_to_do(data_dir: Path) -> None:
    spoil(segments(data_dir)[1])
    result = run("verify", "--data-dir", data_dir)
    assert result.exit_code == 1
    text = result.stdout.replace("\n", " ")
    assert f"damaged: {segments(data_dir)[1]}, position 96:" in text
    assert "amqpbroker log repair" in text


def test_verify_tells_an_end_that_was_in_flight(data_dir: Path) -> None:
    store = open_store(DirectoryDisk(data_dir / "shard-0"), LogOptions(segment_size=400))
    writer = store.fence(store.last, 2, "x")
    store.append(writer, [b"y" * 50])
    end = store.segments[-1].end
    store.disk.unlock()
    spoil(segments(data_dir)[-1], end - 10)
    result = run("verify", "--data-dir", data_dir)
    assert result.exit_code == 0
    assert "in flight" in result.stdout


def test_verify_needs_no_key_but_shows_which_is_used(tmp_path: Path) -> None:
    make_log(tmp_path, Keyring({3: bytes(32)}))
    result = run("verify", "--data-dir", tmp_path)
    assert result.exit_code == 0
    assert re.search(r"│ +3 │ sound", result.stdout)


# repair


def test_repair_mends_and_keeps_a_copy(data_dir: Path) -> None:
    victim = segments(data_dir)[1]
    spoil(victim)
    spoilt = victim.read_bytes()
    result = run("repair", "--data-dir", data_dir)
    assert result.exit_code == 0
    assert "given up: offsets 2 to 2" in result.stdout
    assert victim.with_name(f"{victim.name}.damaged").read_bytes() == spoilt
    assert run("verify", "--data-dir", data_dir).exit_code == 0


def test_repair_leaves_a_sound_log_alone(data_dir: Path) -> None:
    before = contents(data_dir)
    result = run("repair", "--data-dir", data_dir)
    assert (result.exit_code, result.stdout) == (0, "nothing to repair\n")
    assert contents(data_dir) == before


# dump


def test_dump_shows_records_to_a_human(data_dir: Path) -> None:
    lines = run("dump", "--data-dir", data_dir, "--stop", 2).stdout.splitlines()
    assert lines == [
        "offset 0, epoch 1, 2023-11-14 22:13:20.123+00:00: opened by pid 7",
        "offset 1, epoch 1, 2023-11-14 22:13:20.123+00:00:",
        "  enqueue 1 to 2 in queues [4, 5], exchange 'e', routing key 'key', 2 * 3 bytes: b'abc'…",
        "  settle 1 to 2, 5 to 5 in queue 4",
    ]
    (last,) = run("dump", "--data-dir", data_dir, "--start", 7).stdout.splitlines()[1:]
    assert last == r"  unknown record: 6 bytes b'\twhat?'"


def test_dump_shows_everything_to_a_program(data_dir: Path) -> None:
    result = run("dump", "--data-dir", data_dir, "--format", "json")
    batches: list[dict[str, Any]] = [json.loads(line) for line in result.stdout.splitlines()]
    assert [batch["offset"] for batch in batches] == list(range(8))
    assert batches[0] == {
        "offset": 0, "epoch": 1, "timestamp_ms": 1_700_000_000_123, "owner": "pid 7", "records": [],
    }  # fmt: skip
    assert batches[1]["records"] == [
        {
            "type": "enqueue",
            "first": 1,
            "count": 2,
            "queues": [4, 5],
            "exchange": "e",
            "routing_key": "key",
            "properties": "EAAC",
            "timestamp_ms": 99,
            "transient": False,
            "bodies": ["YWJj", "ZGVm"],
        },
        {"type": "settle", "queue": 4, "ranges": [[1, 2], [5, 5]]},
    ]
    unknown = batches[7]["records"][0]
    assert (unknown["type"], base64.b64decode(unknown["data"])) == ("unknown", b"\x09what?")


def test_dump_goes_on_behind_damage_but_says_so(data_dir: Path) -> None:
    spoil(segments(data_dir)[1])
    result = run("dump", "--data-dir", data_dir, "--format", "json")
    assert result.exit_code == 1
    assert "damaged: " in result.stderr
    offsets = [json.loads(line)["offset"] for line in result.stdout.splitlines()]
    assert offsets == [0, 1, 3, 4, 5, 6, 7]


def test_dump_decrypts_with_the_key(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    assert run("new-key", keys).exit_code == 0
    make_log(tmp_path, Keyring.load(keys))
    result = run("dump", "--data-dir", tmp_path, "--key-file", keys)
    assert "routing key 'key'" in result.stdout
    result = run("dump", "--data-dir", tmp_path)
    assert result.exit_code == 1
    assert "is encrypted with key 1: give the key file" in result.stderr


# refusals


@pytest.mark.parametrize("command", ["verify", "repair", "dump"])
def test_nothing_is_touched_while_a_broker_runs(data_dir: Path, command: str) -> None:
    disk = DirectoryDisk(data_dir / "shard-0")
    disk.lock()
    result = run(command, "--data-dir", data_dir)
    disk.unlock()
    assert result.exit_code == 1
    assert re.fullmatch(r"amqpbroker: error: .*stop (it|that one) first\)?\n", result.stderr)


@pytest.mark.parametrize("command", ["verify", "repair", "dump"])
def test_a_directory_without_a_log_is_said_to_be(tmp_path: Path, command: str) -> None:
    result = run(command, "--data-dir", tmp_path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"amqpbroker: error: no log in {tmp_path}")
    (tmp_path / "shard-0").mkdir()
    result = run(command, "--data-dir", tmp_path)
    assert result.exit_code == 1
    assert "is the disk mounted" in result.stderr


# keys


def test_a_new_key_file_is_for_its_owner_only(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    result = run("new-key", keys)
    assert result.stdout.startswith(f"added key 1 to {keys}")
    assert keys.stat().st_mode & 0o777 == 0o600
    assert Keyring.load(keys).newest == 1


def test_keys_are_added_and_stay(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    run("new-key", keys)
    first = keys.read_text()
    assert run("new-key", keys).stdout.startswith("added key 2 ")
    assert keys.read_text().startswith(first)
    assert Keyring.load(keys).newest == 2


def test_what_is_no_key_file_is_left_alone(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("1 nonsense\n")
    os.chmod(keys, 0o600)
    result = run("new-key", keys)
    assert result.exit_code == 1
    assert "line 1: expected '<key id> <64 hex digits>'" in result.stderr
    assert keys.read_text() == "1 nonsense\n"


def test_a_key_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    result = run("new-key", tmp_path / "none" / "keys")
    assert result.exit_code == 1
    assert result.stderr.startswith("amqpbroker: error: cannot write ")


def test_a_return_is_shown(tmp_path: Path) -> None:
    disk = DirectoryDisk(tmp_path / "shard-0")
    disk.create_directory()
    store = create_store(disk, LogOptions(segment_size=400), UUID(int=7))
    store.append(store.fence(-1, 1, "pid 7"), [encode_return(4, 3, [1, 2, 5])])
    store.close()
    lines = run("dump", "--data-dir", tmp_path, "--format", "json").stdout.splitlines()
    expected = {"type": "return", "queue": 4, "delivery_count": 3, "ranges": [[1, 2], [5, 5]]}
    assert json.loads(lines[-1])["records"] == [expected]


def test_a_stream_has_a_log_of_its_own(data_dir: Path) -> None:
    stream = data_dir / "streams" / "7"
    stream.parent.mkdir()
    (data_dir / "shard-0").rename(stream)
    (data_dir / "shard-0").mkdir()
    assert run("verify", "--data-dir", data_dir, "--stream", 7).exit_code == 0
    spoil(sorted(stream.glob("*.log"))[0])
    assert run("verify", "--data-dir", data_dir, "--stream", 7).exit_code == 1
    assert run("repair", "--data-dir", data_dir, "--stream", 7).exit_code == 0
    assert run("verify", "--data-dir", data_dir, "--stream", 7).exit_code == 0
    guard = DirectoryDisk(data_dir / "shard-0")
    guard.lock()
    assert "a broker runs" in run("verify", "--data-dir", data_dir, "--stream", 7).output
    guard.unlock()
    assert run("verify", "--data-dir", data_dir, "--stream", 8).exit_code == 1
