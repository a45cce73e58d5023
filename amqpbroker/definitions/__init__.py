"""Definition files: RabbitMQ's JSON of everything that is declared, read and applied.

::

    sources ─▶ bytes ─ merging ─▶ document ─ checking ─▶ plan ─ importing ─▶ broker and catalog
                       reading               models, values

A document is checked whole before anything is applied, so a broken one changes nothing. What is
there already stays as it is: queues, exchanges and bindings are only added (FEATURES A14.4).
"""

from amqpbroker.definitions.exceptions import DefinitionsError
from amqpbroker.definitions.importing import import_document
from amqpbroker.definitions.starting import import_at_start

__all__ = ("DefinitionsError", "import_at_start", "import_document")
