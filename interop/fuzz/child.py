"""One target under atheris, in a process of its own: ``python -m interop.fuzz.child TARGET …``.

What follows the target's name are libFuzzer's options and folders. The process ends with the first
input that makes ``check`` raise, takes too long or takes too much memory.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from interop.fuzz.targets import load


def main() -> None:
    """Write the seeds into the first folder and fuzz."""
    name, *arguments = sys.argv[1:]
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["amqpbroker", "scramp"]):
        target = load(name)
    folder = next(Path(word) for word in arguments if not word.startswith("-"))
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (folder / f"seed-{number:03}").write_bytes(seed)
    atheris.Setup([sys.argv[0], *arguments], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
