"""Where definitions come from at start-up: a file, all files of a directory, or an https server.

RabbitMQ's ``definitions.local.path`` and ``definitions.https.url`` (FEATURES A14.6).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from anyio import to_thread

from amqpbroker.definitions.exceptions import DefinitionsError

if TYPE_CHECKING:
    from pathlib import Path

    from amqpbroker.config import Config


class Part(NamedTuple):
    """One document."""

    name: str
    """What errors call it: the name of a file in a directory."""
    data: bytes


class Source(NamedTuple):
    """All that is to be imported, in order."""

    name: str
    parts: list[Part]

    @property
    def digest(self) -> str:
        """A name for exactly these bytes in this order."""
        digest = hashlib.sha256()
        for part in self.parts:
            digest.update(hashlib.sha256(part.data).digest())
        return digest.hexdigest()


def source_name(config: Config) -> str:
    """Return what messages call the source: of a URL the part that has no token in it."""
    if config.definitions_url is not None:
        return config.definitions_url.partition("?")[0]
    return str(config.definitions)


async def read_source(config: Config) -> Source:
    """Read what ``config`` names.

    Raises :class:`DefinitionsError`.
    """
    name = source_name(config)
    if config.definitions_url is not None:
        from amqpbroker.definitions.https import fetch  # slow to import, and rare

        data = await to_thread.run_sync(fetch, config, config.definitions_url)
        return Source(name, [Part("", data)])
    assert config.definitions is not None
    return Source(name, await to_thread.run_sync(_read_path, config.definitions))


def _read_path(path: Path) -> list[Part]:
    """Read a file, or the files of a directory in the order of their names.

    Hidden ones are left out: a Kubernetes volume keeps its own there.
    """
    try:
        if not path.is_dir():
            return [Part("", path.read_bytes())]
        files = sorted(file for file in path.iterdir() if not file.name.startswith("."))
        return [Part(file.name, file.read_bytes()) for file in files if file.is_file()]
    except OSError as error:
        raise DefinitionsError("", f"cannot be read: {error.strerror}") from error
