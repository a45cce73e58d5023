"""What reference counts do not free."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def left_to_the_collector(*kinds: type) -> Iterator[list[object]]:
    """Fill a list with the objects of some types that only the cycle collector would have freed."""
    left: list[object] = []
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield left
        gc.collect()
        left += [item for item in gc.garbage if isinstance(item, kinds)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
