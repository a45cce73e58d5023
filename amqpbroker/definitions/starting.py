"""The import at start-up: from the source that the settings name, before anybody can connect."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from amqpbroker.definitions.importing import import_parts, log_progress
from amqpbroker.definitions.sources import read_source

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker
    from amqpbroker.definitions.importing import ProgressOf

logger = logging.getLogger("amqpbroker.definitions")

DIGEST_PARAMETER: Final = "internal_imported_definitions_digest"
"""The global parameter that names what was imported last; exports leave ``internal_*`` out."""


async def import_at_start(broker: Broker, progress_of: ProgressOf = log_progress) -> None:
    """Import what the settings name; an empty broker gets its defaults first, unless users come.

    With ``definitions_skip_if_unchanged`` nothing is done if the last import was of the same bytes
    and went well, whatever has been changed since (FEATURES A14.6).

    Raises :class:`~amqpbroker.definitions.exceptions.DefinitionsError` and
    :class:`~amqpbroker.storage.catalog.CatalogError`; nothing is changed then.
    """
    config = broker.config
    if not config.has_definitions:
        return
    source = await read_source(config)
    digest = source.digest if config.definitions_skip_if_unchanged else None
    if digest is not None and broker.global_parameters.get(DIGEST_PARAMETER) == digest:
        logger.info("%s: unchanged since it was imported, skipped", source.name)
        return
    is_blank = not broker.vhosts and not broker.users.users
    await import_parts(
        broker,
        source.parts,
        source=source.name,
        with_defaults=is_blank,
        parameters={} if digest is None else {DIGEST_PARAMETER: digest},
        progress_of=progress_of,
    )
