"""Durable definitions: vhosts, users, permissions, exchanges, queues, bindings, policies.

They live in one SQLite file, apart from the messages, which live in the log.
"""

from amqpbroker.storage.catalog.catalog import Catalog
from amqpbroker.storage.catalog.draft import Draft
from amqpbroker.storage.catalog.exceptions import CatalogError, ChangeRefused
from amqpbroker.storage.catalog.group import Ticket

__all__ = ["Catalog", "CatalogError", "ChangeRefused", "Draft", "Ticket"]
