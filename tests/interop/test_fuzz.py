"""The fuzz targets hold on their seeds, on changed seeds, and on what fuzzing has found."""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING, Final

import pytest

from amqpbroker.wire.table import Field
from interop.fuzz.targets import NAMES, load
from interop.fuzz.targets.arguments import described

if TYPE_CHECKING:
    from collections.abc import Iterator

CHANGED_COUNT: Final = 100
"""Changed inputs per target: what a second or so takes."""

FOUND: Final = [
    # Ages of more digits than int() takes: by reading, the inputs of the fuzzer are too short.
    ("arguments", described(3, 0, {"x-max-age": Field("S", b"9" * 5000 + b"Y")}, {}, {})),
    ("arguments", described(3, 0, {}, {"x-stream-offset": Field("S", b"9" * 5000 + b"Y")}, {})),
    # A short wrong protocol header was refused at once in one read, and later in two.
    ("wire", b"\0\0A\xcd"),
    # A queue type that is no UTF-8 was no mistake of the file but an internal error.
    (
        "definitions",
        b'{"queues": [{"name": "q", "vhost": "/", "durable": true, "type": "cl\xb8"}]}',
    ),
]


@pytest.fixture(autouse=True)
def _logging_comes_back() -> Iterator[None]:
    """Two targets turn logging off, which costs more than what they check."""
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", NAMES)
def test_the_seeds_hold(name: str) -> None:
    target = load(name)
    for seed in target.seeds:
        target.check(seed)


@pytest.mark.parametrize("name", NAMES)
def test_changed_seeds_hold(name: str) -> None:
    target = load(name)
    source = random.Random(name)
    for _ in range(CHANGED_COUNT):
        target.check(changed(source.choice(target.seeds), source))


@pytest.mark.parametrize(("name", "data"), FOUND)
def test_what_was_found_holds(name: str, data: bytes) -> None:
    load(name).check(data)


def changed(seed: bytes, source: random.Random) -> bytes:
    """Return a seed with some bytes replaced, removed, or repeated."""
    data = bytearray(seed)
    for _ in range(source.randint(1, 4)):
        at = source.randrange(len(data) + 1)
        stop = at + source.randint(0, 8)
        match source.randrange(3):
            case 0:
                data[at:stop] = source.randbytes(stop - at)
            case 1:
                del data[at:stop]
            case _:
                data[at:at] = data[at:stop]
    return bytes(data)
