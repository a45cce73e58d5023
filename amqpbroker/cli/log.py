"""``amqpbroker log``: look at the log of a broker that does not run, mend it, make keys.

The bytes are `amqpbroker.storage.inspect`'s business; here they are shown. Exit codes: 0 all is
well, 1 something is wrong with the log (or cannot be used), 2 wrong usage.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amqpbroker.storage.disk import DirectoryDisk
    from amqpbroker.storage.encryption import Keyring
    from amqpbroker.storage.inspect import LogReport, Problem
    from amqpbroker.storage.log import Batch

LOG_ERROR: Final = 1
"""Exit code when the log is damaged or cannot be used."""
PREVIEW_SIZE: Final = 40
"""Bytes of a body that are shown to a human."""

app = typer.Typer(
    help="Check, mend and show the log of a broker that does not run; make keys.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

DataDir = Annotated[
    Path, typer.Option("--data-dir", metavar="DIR", help="Where messages are kept.")
]
KeyFile = Annotated[
    Path | None,
    typer.Option("--key-file", metavar="FILE", help="Keys, if the log is encrypted."),
]
Stream = Annotated[
    int | None,
    typer.Option("--stream", metavar="ID", help="The log of this stream and not of all queues."),
]
DEFAULT_DATA_DIR: Final = Path("amqpbroker-data")


@app.command()
def verify(data_dir: DataDir = DEFAULT_DATA_DIR, stream: Stream = None) -> None:
    """Read the whole log and say what is wrong with it; nothing is changed. Needs no key."""
    with _log_of(data_dir, stream) as disk:
        from amqpbroker.storage.inspect import verify as verify_log

        report = verify_log(disk)
    _show(report)
    if not report.is_sound:
        raise typer.Exit(LOG_ERROR)


@app.command()
def repair(data_dir: DataDir = DEFAULT_DATA_DIR, stream: Stream = None) -> None:
    """Give up what is damaged, and only that; damaged files are kept as copies (*.damaged)."""
    from amqpbroker.storage.inspect import repair as repair_log

    with _log_of(data_dir, stream, is_locked=False) as disk:
        done = repair_log(disk)
    for line in done or ["nothing to repair"]:
        typer.echo(line)


@app.command()
def dump(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    key_file: KeyFile = None,
    start: Annotated[int, typer.Option(metavar="OFFSET", help="The first batch to show.")] = 0,
    stop: Annotated[
        int | None, typer.Option(metavar="OFFSET", help="The first batch not to show.")
    ] = None,
    format: Annotated[
        Literal["text", "json"], typer.Option(help="json: one object per line, bodies in base64.")
    ] = "text",
    *,
    stream: Stream = None,
) -> None:
    """Show what is in the log, batch by batch."""
    is_sound = True
    with _log_of(data_dir, stream) as disk:
        from amqpbroker.storage.inspect import Problem
        from amqpbroker.storage.inspect import dump as dump_log
        from amqpbroker.storage.recovery import NO_STOP

        end = NO_STOP if stop is None else stop
        for item in dump_log(disk, start, end, keyring=_keyring(key_file)):
            if isinstance(item, Problem):
                is_sound = False
                typer.echo(f"damaged: {_describe(item)}", err=True)
                continue
            _, _, batch = item
            typer.echo(json.dumps(_as_json(batch)) if format == "json" else _as_text(batch))
    if not is_sound:
        raise typer.Exit(LOG_ERROR)


@app.command("new-key")
def new_key(file: Annotated[Path, typer.Argument(help="Made if it is not there.")]) -> None:
    """Add a new key to a key file; what is written from the next start on is encrypted with it."""
    from amqpbroker.storage.encryption import new_key_line

    key_id = 1
    if file.exists():
        keyring = _keyring(file)
        key_id = 1 if keyring is None else keyring.newest + 1
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="ascii") as opened:
            opened.write(new_key_line(key_id))
            opened.flush()
            os.fsync(opened.fileno())
    except OSError as error:
        _fail(f"cannot write {file}: {error.strerror}")
    typer.echo(f"added key {key_id} to {file}; keep a copy of it away from the data")


@contextmanager
def _log_of(
    data_dir: Path, stream: int | None, *, is_locked: bool = True
) -> Iterator[DirectoryDisk]:
    """Open the log's directory, locked against a broker; errors end the program with one line."""
    from amqpbroker.broker.opening import SHARD_NAME, STREAMS_NAME
    from amqpbroker.storage.disk import DirectoryDisk
    from amqpbroker.storage.log import LogError

    path = data_dir / SHARD_NAME
    if stream is not None:
        path = data_dir / STREAMS_NAME / str(stream)
    if not path.is_dir():
        _fail(f"no log in {data_dir}: {path} does not exist")
    disk = DirectoryDisk(path)
    guard = DirectoryDisk(data_dir / SHARD_NAME)  # a broker may have left a stream alone for now
    try:
        if stream is not None:
            guard.lock()
        if is_locked:
            disk.lock()
    except BlockingIOError:
        _fail(f"a broker runs on {data_dir}: stop it first")
    except OSError:
        pass  # it may only be read, and nobody can write it then
    try:
        yield disk
    except LogError as error:
        _fail(str(error))
    except BrokenPipeError:
        raise  # whoever reads what we print has had enough
    except OSError as error:
        _fail(f"cannot read {error.filename or path}: {error.strerror}")
    finally:
        disk.unlock()
        guard.unlock()


def _keyring(key_file: Path | None) -> Keyring | None:
    if key_file is None:
        return None
    from amqpbroker.storage.encryption import Keyring
    from amqpbroker.storage.log import LogUnavailable

    try:
        return Keyring.load(key_file)
    except LogUnavailable as error:
        _fail(str(error))


def _fail(text: str) -> NoReturn:
    typer.echo(f"amqpbroker: error: {text}", err=True)
    raise typer.Exit(LOG_ERROR)


# what a human sees


def _show(report: LogReport) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("segment", "offsets", "batches", "records", "bytes", "key", "")
    for column in table.columns[1:6]:
        column.justify = "right"
    for segment in report.segments:
        offsets = f"{segment.first} to {segment.last}" if segment.batches else "none"
        note = Text("sound", "green")
        if segment.problem is not None:
            note = Text("damaged", "red")
        elif segment.torn is not None:
            note = Text(f"sound; its end was in flight ({segment.torn})", "yellow")
        table.add_row(
            segment.name, offsets, f"{segment.batches:,}", f"{segment.records:,}",
            f"{segment.size:,}", str(segment.key_id or "none"), note,
        )  # fmt: skip
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    for problem in report.problems:
        console.print(Text(f"damaged: {_describe(problem)}", "red"))
    if report.is_sound:
        console.print(f"sound; the last offset is {report.last}")
    else:
        console.print("mend it with `amqpbroker log repair`, or put a backup in its place")


def _describe(problem: Problem) -> str:
    at = "" if problem.position is None else f", position {problem.position}"
    return f"{problem.path}{at}: {problem.reason}"


def _as_text(batch: Batch) -> str:
    time = datetime.fromtimestamp(batch.timestamp_ms / 1000, UTC).isoformat(" ", "milliseconds")
    head = f"offset {batch.offset}, epoch {batch.epoch}, {time}"
    if batch.owner is not None:
        return f"{head}: opened by {batch.owner}"
    return "\n".join([f"{head}:", *(f"  {_record_as_text(record)}" for record in batch.records)])


def _record_as_text(data: bytes) -> str:
    record = _decode(data)
    if record["type"] == "enqueue":
        first, count = record["first"], record["count"]
        body = bytes(base64.b64decode(record["bodies"][0]))
        more = "…" if len(body) > PREVIEW_SIZE or count > 1 else ""
        kind = "transient, " if record["transient"] else ""
        return (
            f"enqueue {first} to {first + count - 1} in queues {record['queues']}, {kind}exchange "
            f"'{record['exchange']}', routing key '{record['routing_key']}', "
            f"{count} * {len(body)} bytes: {body[:PREVIEW_SIZE]!r}{more}"
        )
    if record["type"] == "settle":
        ranges = ", ".join(f"{first} to {last}" for first, last in record["ranges"])
        return f"settle {ranges} in queue {record['queue']}"
    return f"unknown record: {len(data)} bytes {data[:PREVIEW_SIZE]!r}"


# what a program sees


def _as_json(batch: Batch) -> dict[str, Any]:
    return {
        "offset": batch.offset,
        "epoch": batch.epoch,
        "timestamp_ms": batch.timestamp_ms,
        "owner": batch.owner,
        "records": [_decode(record) for record in batch.records],
    }


def _decode(data: bytes) -> dict[str, Any]:
    """Return a record of the shard log in simple types."""
    from amqpbroker.storage.shard_record import BadRecord, EnqueueRecord, ReturnRecord, decode

    try:
        record = decode(data)
    except BadRecord:
        return {"type": "unknown", "data": _base64(data)}
    if not isinstance(record, EnqueueRecord):
        ranges = [[first, first + count - 1] for first, count in record.ranges]
        if isinstance(record, ReturnRecord):
            return {
                "type": "return",
                "queue": record.queue_id,
                "delivery_count": record.delivery_count,
                "ranges": ranges,
            }
        return {"type": "settle", "queue": record.queue_id, "ranges": ranges}
    last = record.first + record.message_count
    return {
        "type": "enqueue",
        "first": record.first,
        "count": record.message_count,
        "queues": list(record.queue_ids),
        "exchange": record.exchange.decode(errors="replace"),
        "routing_key": record.routing_key.decode(errors="replace"),
        "properties": _base64(record.raw_properties),
        "timestamp_ms": record.timestamp_ms,
        "transient": record.is_transient,
        "bodies": [_base64(record.body(sequence)) for sequence in range(record.first, last)],
    }


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
