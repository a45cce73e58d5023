"""Nine kinds of bad input, 1,000 times each: exact answer, one log line, nobody else harmed."""

from __future__ import annotations

import asyncio
import re
import struct
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pamqp import commands

from interop.edges import frames
from interop.edges.client import Client, dial
from interop.edges.pacing import at_pace

if TYPE_CHECKING:
    from pathlib import Path

    from interop.edges.stage import Stage

TIMES = 1_000
RATE = 200.0  # per second
ANSWER_TIMEOUT_S = 10.0
LOG_TIMEOUT_S = 5.0
NOT_LOUD = re.compile(r"\[(info|debug)\]|\b(INFO|DEBUG)\b")  # greeting lines are not counted
HEADER_ANSWER = r"AMQP\x00\x00\x09\x01"
QUEUE = "amqpbroker-edges-bad-input"


@dataclass(frozen=True)
class Misdeed:
    """What a client sends, how it leaves, and what the broker must say first."""

    name: str
    data: bytes
    leaves: Literal["when answered", "politely", "with a reset"] = "when answered"
    is_after_handshake: bool = True
    answer: str = ""  # a regular expression over unread bytes and close reason


def _method(index: int) -> bytes:
    return frames.envelope(frames.METHOD, 1, struct.pack(">I", index) + b"rubbish")


PUBLISH = frames.method(commands.Basic.Publish(routing_key=QUEUE))
HALF_BODY = (
    PUBLISH + frames.content_header(100_000) + frames.envelope(frames.BODY, 1, b"x" * 50_000)
)
FRAME_ERROR = r"501 FRAME_ERROR"

MISDEEDS = (
    Misdeed(
        "HTTP instead of AMQP",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        is_after_handshake=False,
        answer=HEADER_ANSWER,
    ),
    Misdeed(
        "a version that nobody speaks",
        b"AMQP\x00\x00\x0a\x00",
        is_after_handshake=False,
        answer=HEADER_ANSWER,
    ),
    Misdeed("half a protocol header, then gone", b"AMQP\x00", "politely", is_after_handshake=False),
    Misdeed("half a frame, then gone", frames.CHANNEL_OPEN[:9], "politely"),
    Misdeed("a frame without its end byte", frames.CHANNEL_OPEN[:-1] + b"\x00", answer=FRAME_ERROR),
    Misdeed(
        "a frame above frame_max", struct.pack(">BHI", 3, 1, 2**31) + b"x" * 100, answer=FRAME_ERROR
    ),
    Misdeed(
        "a method that does not exist", _method(0x003C_03E7), answer=r"5\d\d [A-Z_]+|socket closed"
    ),
    Misdeed(
        "body frame out of place",
        frames.envelope(frames.BODY, 1, b"x"),
        answer=r"505 UNEXPECTED_FRAME",
    ),
    Misdeed("vanished in mid-message", HALF_BODY, "with a reset"),
)


async def run(stage: Stage) -> None:
    """Do every misdeed TIMES times and read the log after each kind."""
    witness = await stage.connect()
    await witness.call(commands.Queue.Declare(queue=QUEUE, exclusive=True))
    before = stage.usage()
    for misdeed in MISDEEDS:
        await _repeat(stage, misdeed)
    counted = await witness.call(commands.Queue.Declare(queue=QUEUE, passive=True))
    assert isinstance(counted, commands.Queue.DeclareOk), counted
    stage.add(
        "half messages that arrived", str(counted.message_count), "0", counted.message_count == 0
    )
    stage.add(
        "another connection",
        "closed" if witness.closed.done() else "unharmed",
        "unharmed",
        not witness.closed.done(),
    )
    await witness.close()
    await stage.expect_back(before)


async def _repeat(stage: Stage, misdeed: Misdeed) -> None:
    peers: list[int] = []
    wrong: list[str] = []
    log_start = stage.broker.log.stat().st_size if stage.broker.log else 0

    async def once(_: int) -> None:
        client = await dial(stage.broker.host, stage.broker.port)
        peers.append(client.local_port)
        said = await _misbehave(client, misdeed)
        if misdeed.answer and re.search(misdeed.answer, said) is None:
            wrong.append(said)

    with stage.phase(f"{misdeed.name}, {RATE:g}/s"):
        await at_pace(RATE, range(stage.count(TIMES)), once)
    if misdeed.answer:
        example = f", such as {wrong[0]!r}" if wrong else ""
        stage.add(f"{misdeed.name}: wrong answers", f"{len(wrong)}{example}", "0", not wrong)
    if stage.broker.log is not None:
        await _check_log(stage, stage.broker.log, log_start, misdeed.name, peers)


async def _misbehave(client: Client, misdeed: Misdeed) -> str:
    """Do it, leave, and return what the broker said first."""
    if misdeed.is_after_handshake:
        await client.handshake()
    client.send(misdeed.data)
    if misdeed.leaves == "politely":
        client.transport.close()
    elif misdeed.leaves == "with a reset":
        await client.drain()
        await asyncio.sleep(0.01)  # let it arrive: a reset discards what is still on its way
        client.vanish()
    try:
        reason = await asyncio.wait_for(client.closed, ANSWER_TIMEOUT_S)
    except TimeoutError:
        reason = f"nothing within {ANSWER_TIMEOUT_S:g} s"
    client.transport.close()
    return client.unread.decode("latin-1") + reason


async def _check_log(stage: Stage, log: Path, start: int, name: str, peers: list[int]) -> None:
    """Every peer must stand on exactly one line that is louder than a greeting.

    The system may give a port again to a later client, which then has a line of its own.
    """
    uses = Counter(peers)
    for _ in range(round(LOG_TIMEOUT_S / 0.2)):
        per_peer = _group_by_port(_loud_lines(log, start), peers)
        if all(len(per_peer[port]) >= count for port, count in uses.items()):
            break
        await asyncio.sleep(0.2)
    silent = sum(max(0, count - len(per_peer[port])) for port, count in uses.items())
    twice = sum(len(per_peer[port]) > count for port, count in uses.items())
    example = next((found[0] for found in per_peer.values() if found), "no line at all")
    stage.add(
        f"{name}: peers not on one log line",
        f"{silent} on none, {twice} on more: {example}",
        "0",
        silent == twice == 0,
    )


def _loud_lines(log: Path, start: int) -> list[str]:
    with log.open("rb") as file:
        file.seek(start)
        text = file.read().decode(errors="replace")
    return [line.strip() for line in text.splitlines() if NOT_LOUD.search(line) is None]


def _group_by_port(lines: list[str], peers: list[int]) -> dict[int, list[str]]:
    grouped: dict[int, list[str]] = {port: [] for port in peers}
    for line in lines:
        for port in {int(found) for found in re.findall(r":(\d{4,5})\b", line)}:
            if port in grouped:
                grouped[port].append(line)
    return grouped
