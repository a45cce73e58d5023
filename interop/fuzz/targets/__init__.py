"""What is fuzzed, one module each: ``check`` takes any bytes, ``SEEDS`` are good ones.

``check`` raises for whatever must not happen; what may be refused it catches itself.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NAMES: Final = ("wire", "session", "sasl", "definitions", "records", "conf", "arguments")


class Target(NamedTuple):
    """A module of this package, loaded."""

    check: Callable[[bytes], None]
    seeds: Sequence[bytes]


def load(name: str) -> Target:
    """Import a target."""
    module = importlib.import_module(f"{__name__}.{name}")
    return Target(module.check, module.SEEDS)
