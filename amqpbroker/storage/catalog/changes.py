"""Everything that may be changed in the catalog, one method for each kind of row.

``put_…`` adds a row, or replaces the one with the same key; ``delete_…`` removes one, quietly if
there is none, and with it all that depends on it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from amqpbroker.storage.catalog import tables
from amqpbroker.storage.catalog.group import Change
from amqpbroker.storage.catalog.tables import bindable

if TYPE_CHECKING:
    from amqpbroker.storage.catalog.group import Ticket
    from amqpbroker.storage.catalog.rows import (
        BindingRow,
        ExchangeRow,
        GlobalParameterRow,
        ParameterRow,
        PermissionRow,
        PolicyRow,
        QueueRow,
        TopicPermissionRow,
        UserRow,
        VHostRow,
    )


class Changes(ABC):
    """Turns calls into staged changes."""

    @abstractmethod
    def stage(self, change: Change) -> Ticket:
        """Take a change into the next transaction.

        :raises CatalogError: the catalog is closed.
        """

    def put_vhost(self, row: VHostRow) -> Ticket:
        """Store a vhost; its ``amq.*`` exchanges are rows that the caller puts."""
        return self.stage(Change(tables.VHOSTS.put, bindable(row)))

    def delete_vhost(self, name: str) -> Ticket:
        """Delete a vhost with all that is in it."""
        return self.stage(Change(tables.VHOSTS.delete, bindable((name,))))

    def put_user(self, row: UserRow) -> Ticket:
        """Store a user."""
        return self.stage(Change(tables.USERS.put, bindable(row)))

    def delete_user(self, name: str) -> Ticket:
        """Delete a user with its permissions."""
        return self.stage(Change(tables.USERS.delete, bindable((name,))))

    def put_permission(self, row: PermissionRow) -> Ticket:
        """Store what a user may do in a vhost."""
        return self.stage(Change(tables.PERMISSIONS.put, bindable(row)))

    def delete_permission(self, username: str, vhost: str) -> Ticket:
        """Delete what a user may do in a vhost."""
        return self.stage(Change(tables.PERMISSIONS.delete, bindable((vhost, username))))

    def put_topic_permission(self, row: TopicPermissionRow) -> Ticket:
        """Store which routing keys of an exchange a user may use."""
        return self.stage(Change(tables.TOPIC_PERMISSIONS.put, bindable(row)))

    def delete_topic_permission(self, username: str, vhost: str, exchange: str) -> Ticket:
        """Delete which routing keys of an exchange a user may use."""
        key = bindable((vhost, username, exchange))
        return self.stage(Change(tables.TOPIC_PERMISSIONS.delete, key))

    def put_exchange(self, row: ExchangeRow) -> Ticket:
        """Store an exchange; its vhost must be there."""
        return self.stage(Change(tables.EXCHANGES.put, bindable(row)))

    def delete_exchange(self, vhost: str, name: str) -> Ticket:
        """Delete an exchange with the bindings on both of its sides."""
        return self.stage(Change(tables.EXCHANGES.delete, bindable((vhost, name))))

    def put_queue(self, row: QueueRow) -> Ticket:
        """Store a queue; its vhost must be there, and no other queue of the name."""
        return self.stage(Change(tables.QUEUES.put, bindable(row)))

    def delete_queue(self, queue_id: int) -> Ticket:
        """Delete a queue with its bindings."""
        return self.stage(Change(tables.QUEUES.delete, (queue_id,)))

    def put_binding(self, row: BindingRow) -> Ticket:
        """Store a binding; both ends must be there, ``amq.*`` too."""
        put = table_of(row).put
        return self.stage(Change(put, bindable((*row[:2], *row[3:]))))

    def delete_binding(self, row: BindingRow) -> Ticket:
        """Delete a binding."""
        delete = table_of(row).delete
        return self.stage(Change(delete, bindable((*row[:2], *row[3:]))))

    def put_policy(self, row: PolicyRow) -> Ticket:
        """Store a policy."""
        return self.stage(Change(tables.POLICIES.put, bindable(row)))

    def delete_policy(self, vhost: str, name: str) -> Ticket:
        """Delete a policy."""
        return self.stage(Change(tables.POLICIES.delete, bindable((vhost, name))))

    def put_parameter(self, row: ParameterRow) -> Ticket:
        """Store a parameter."""
        return self.stage(Change(tables.PARAMETERS.put, bindable(row)))

    def delete_parameter(self, vhost: str, component: str, name: str) -> Ticket:
        """Delete a parameter."""
        return self.stage(Change(tables.PARAMETERS.delete, bindable((vhost, component, name))))

    def put_global_parameter(self, row: GlobalParameterRow) -> Ticket:
        """Store a global parameter."""
        return self.stage(Change(tables.GLOBAL_PARAMETERS.put, bindable(row)))

    def delete_global_parameter(self, name: str) -> Ticket:
        """Delete a global parameter."""
        return self.stage(Change(tables.GLOBAL_PARAMETERS.delete, bindable((name,))))


def table_of(row: BindingRow) -> tables.Table:
    """Return the table of a binding: there is one for each kind of destination."""
    if row.destination_type == "queue":
        return tables.QUEUE_BINDINGS
    return tables.EXCHANGE_BINDINGS
