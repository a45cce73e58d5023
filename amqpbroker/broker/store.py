"""Domain objects ↔ rows of the catalog.

The vhost tells the store what has changed; the handler that caused it takes the ticket and
answers when the change is on the disk (DESIGN section 4: cold methods may wait). Arguments are
stored as the AMQP table that they came as, so that every type survives.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from amqpbroker.auth.principal import User
from amqpbroker.auth.users import Permissions, TopicPermissions
from amqpbroker.broker.policies import OPERATOR_POLICY, Policy
from amqpbroker.routing.binding import Binding, Destination, freeze_arguments, thaw_arguments
from amqpbroker.storage.catalog.rows import (
    BindingRow,
    ExchangeRow,
    ParameterRow,
    PermissionRow,
    PolicyRow,
    QueueRow,
    UserRow,
    VHostRow,
)
from amqpbroker.wire.table import Table, decode_table, encode_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpbroker.auth.users import UserStore
    from amqpbroker.broker.journal import Keeper
    from amqpbroker.broker.metadata import VHostMetadata
    from amqpbroker.broker.vhost import VHost
    from amqpbroker.routing.exchange import Exchange
    from amqpbroker.storage.catalog import Catalog, Draft, Ticket
    from amqpbroker.storage.catalog.changes import Changes
    from amqpbroker.storage.catalog.rows import Snapshot


def _pack(table: Mapping[str, tuple[str, Any]]) -> bytes:
    return encode_table(table)[4:]


def unpack(data: bytes) -> Table:
    """Return the table of a row's ``arguments``."""
    return decode_table(data)


class Store:
    """Where durable definitions go."""

    def __init__(self, catalog: Catalog, draft: Draft | None = None) -> None:
        self.catalog = catalog
        self.changes: Changes = catalog if draft is None else draft
        """What is told of them: the catalog, or a draft that goes there as a whole."""
        self.queues: dict[int, Keeper] = {}
        """Durable queues by id, and what else has messages in the log."""
        self._ticket: Ticket | None = None

    def take_ticket(self) -> Ticket | None:
        """Return what to wait for before the change just made is answered, None if nothing."""
        ticket, self._ticket = self._ticket, None
        return ticket

    def put_vhost(self, vhost: VHost) -> None:
        """Store a vhost with its pre-declared exchanges."""
        self.put_vhost_itself(vhost)
        for exchange in vhost.exchanges.values():
            if exchange.name:
                self.put_exchange(vhost.name, exchange)

    def put_vhost_itself(self, vhost: VHost) -> None:
        """Store a vhost without what is in it."""
        self.put_vhost_row(vhost.name, vhost.metadata, vhost.limits)

    def put_vhost_row(self, name: str, metadata: VHostMetadata, limits: Mapping[str, int]) -> None:
        """Store what a vhost is, or will be."""
        row = VHostRow(name, metadata.to_json(), json.dumps(limits), False)
        self._ticket = self.changes.put_vhost(row)

    def delete_vhost(self, name: str) -> None:
        """Delete a vhost and all that is in it."""
        self._ticket = self.changes.delete_vhost(name)

    def put_user(self, user: User) -> None:
        """Store a user."""
        row = UserRow(
            user.name,
            user.password_hash,
            user.hashing_algorithm,
            json.dumps(list(user.tags)),
            json.dumps(dict(user.limits)),
            json.dumps(list(user.scram_keys)),
        )
        self._ticket = self.changes.put_user(row)

    def put_permissions(self, username: str, vhost: str, permissions: Permissions) -> None:
        """Store what a user may do in a vhost."""
        self._ticket = self.changes.put_permission(PermissionRow(username, vhost, *permissions))

    def put_exchange(self, vhost: str, exchange: Exchange) -> None:
        """Store a durable exchange; others are forgotten at a restart."""
        if exchange.is_durable:
            row = ExchangeRow(
                vhost,
                exchange.name,
                exchange.type_name,
                exchange.is_auto_delete,
                exchange.is_internal,
                _pack(exchange.arguments),
            )
            self._ticket = self.changes.put_exchange(row)

    def delete_exchange(self, vhost: str, exchange: Exchange) -> None:
        """Delete an exchange and its bindings."""
        if exchange.is_durable:
            self._ticket = self.changes.delete_exchange(vhost, exchange.name)

    def put_queue(self, vhost: str, queue: Keeper) -> None:
        """Store a durable queue and give it an id."""
        queue.id = self.catalog.next_queue_id()
        self.queues[queue.id] = queue
        row = QueueRow(queue.id, vhost, queue.name, queue.is_auto_delete, _pack(queue.arguments))
        self._ticket = queue.definition = self.changes.put_queue(row)

    def delete_queue(self, queue: Keeper) -> None:
        """Delete a queue and its bindings."""
        self.queues.pop(queue.id, None)
        self._ticket = queue.definition = self.changes.delete_queue(queue.id)

    def put_policy(self, vhost: str, policy: Policy, *, is_operator: bool) -> None:
        """Store a policy; an operator policy is a parameter, as in definition files."""
        if is_operator:
            value = json.dumps(policy.to_json())
            row = ParameterRow(vhost, OPERATOR_POLICY, policy.name, value)
            self._ticket = self.changes.put_parameter(row)
            return
        definition = json.dumps(dict(policy.definition))
        self._ticket = self.changes.put_policy(
            PolicyRow(
                vhost, policy.name, policy.pattern, policy.apply_to, policy.priority, definition
            )
        )

    def delete_policy(self, vhost: str, name: str, *, is_operator: bool) -> None:
        """Delete a policy."""
        if is_operator:
            self._ticket = self.changes.delete_parameter(vhost, OPERATOR_POLICY, name)
        else:
            self._ticket = self.changes.delete_policy(vhost, name)

    def put_binding(self, vhost: str, binding: Binding) -> None:
        """Store a binding between durable ends."""
        self._ticket = self.changes.put_binding(_binding_row(vhost, binding))

    def delete_binding(self, vhost: str, binding: Binding) -> None:
        """Delete a binding."""
        self._ticket = self.changes.delete_binding(_binding_row(vhost, binding))


def _binding_row(vhost: str, binding: Binding) -> BindingRow:
    return BindingRow(
        vhost,
        binding.source,
        binding.destination.kind,
        binding.destination.name,
        binding.binding_key,
        _pack(thaw_arguments(binding.arguments)),
    )


def binding_of(row: BindingRow) -> Binding:
    """Return the binding of a row."""
    return Binding(
        row.source,
        Destination(row.destination_type, row.destination),
        row.binding_key,
        freeze_arguments(unpack(row.arguments)),
    )


def load_policies(vhosts: Mapping[str, VHost], snapshot: Snapshot) -> None:
    """Fill the policies of vhosts, which have no queues yet."""
    for row in snapshot.policies:
        definition = json.loads(row.definition)
        policy = Policy(row.name, row.pattern, definition, row.priority, row.apply_to)
        vhosts[row.vhost].policies.put(policy)
    for item in snapshot.parameters:
        if item.component == OPERATOR_POLICY:
            policy = Policy.from_json(item.name, item.value)
            vhosts[item.vhost].policies.put(policy, is_operator=True)


def load_users(users: UserStore, snapshot: Snapshot) -> None:
    """Fill the user store."""
    users.load(
        [
            User(
                row.name,
                row.password_hash,
                row.hashing_algorithm,
                tuple(json.loads(row.tags)),
                json.loads(row.limits),
                tuple(json.loads(row.scram_keys)),
            )
            for row in snapshot.users
        ],
        {(row.username, row.vhost): Permissions(*row[2:]) for row in snapshot.permissions},
        {
            (row.username, row.vhost, row.exchange): TopicPermissions(row.write, row.read)
            for row in snapshot.topic_permissions
        },
    )
