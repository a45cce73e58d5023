"""A virtual host: its exchanges, queues and bindings, and the rules for making and removing them.

Who may do it is checked before (``handlers``); here it is decided what it means. Every change of
what a route depends on replaces ``epoch`` (see ``router``).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from amqpbroker.broker.dead_letter import DeadLetters
from amqpbroker.broker.deduplicating import Windows
from amqpbroker.broker.delayed import Delayed
from amqpbroker.broker.metadata import VHostMetadata
from amqpbroker.broker.names import described
from amqpbroker.broker.policies import Policies
from amqpbroker.broker.redrive import Redrives
from amqpbroker.broker.streams import Streams
from amqpbroker.broker.timers import Timers
from amqpbroker.errors import not_found, precondition_failed, resource_locked
from amqpbroker.routing.binding import Binding, Destination
from amqpbroker.routing.registry import PREDECLARED, create_exchange

if TYPE_CHECKING:
    from collections.abc import Iterable

    from amqpbroker.broker.consumer import Consumer
    from amqpbroker.broker.paging import Pager
    from amqpbroker.broker.queue import Queue
    from amqpbroker.broker.session import Session
    from amqpbroker.broker.store import Store
    from amqpbroker.routing.exchange import Exchange

logger = logging.getLogger("amqpbroker.vhost")


class VHost:
    """One vhost."""

    def __init__(
        self,
        name: str,
        store: Store | None = None,
        timers: Timers | None = None,
        streams: Streams | None = None,
    ) -> None:
        self.name = name
        self.timers = Timers() if timers is None else timers
        self.streams = Streams(self.timers, lambda: None) if streams is None else streams
        self.dead_letters = DeadLetters(self)
        self.delayed = Delayed(self)
        self.windows = Windows(self)
        self.redrives = Redrives(self)
        self.store = store
        """Learns of every change of what is durable."""
        self.exchanges: dict[str, Exchange] = {
            item.name: create_exchange(item.type_name, item.name, is_internal=item.is_internal)
            for item in PREDECLARED
        }
        self.queues: dict[str, Queue] = {}
        self.metadata = VHostMetadata()
        self.policies = Policies(self)
        self.pager: Pager | None = None
        """The memory budget; None if everything is in memory."""
        self.limits: dict[str, int] = {}
        """max-connections and max-queues; see ``quotas``."""
        self.epoch = object()
        self.routes: dict[tuple[str, str], tuple[Queue, ...]] = {}
        self._bindings_to: dict[Destination, dict[Binding, None]] = {}

    def forget_routes(self) -> None:
        """Start a new epoch: what was routed or permitted before must be worked out again."""
        self.epoch = object()
        self.routes.clear()

    # look-ups

    def exchange(self, name: str) -> Exchange:
        """Return an exchange.

        Raises :class:`~amqpbroker.errors.SoftError` 404.
        """
        exchange = self.exchanges.get(name)
        if exchange is None:
            raise not_found(f"no {described('exchange', name, self.name)}")
        return exchange

    def queue(self, name: str, session: Session | None) -> Queue:
        """Return a queue that ``session`` may use.

        Raises :class:`~amqpbroker.errors.SoftError`: 404, or 405 if it is exclusive to another
        connection (FEATURES A4.4, A4.5).
        """
        queue = self.find_queue(name)
        self.check_access(queue, session)
        return queue

    def find_queue(self, name: str) -> Queue:
        """Return a queue, whoever may use it.

        Raises :class:`~amqpbroker.errors.SoftError` 404.
        """
        queue = self.queues.get(name)
        if queue is None:
            raise not_found(f"no {described('queue', name, self.name)}")
        return queue

    def check_access(
        self, queue: Queue, session: Session | None, *, is_declare: bool = False
    ) -> None:
        """Refuse a queue that is exclusive to another connection.

        A redeclare must also agree on whether it is exclusive at all: ``session`` is then the owner
        that it asks for. Raises :class:`~amqpbroker.errors.SoftError` 405.
        """
        if queue.owner is session or (queue.owner is None and not is_declare):
            return
        raise resource_locked(
            f"cannot obtain exclusive access to locked {described('queue', queue.name, self.name)}."
            " It could be originally declared on another connection or the exclusive property"
            " value does not match that of the original declaration."
        )

    # exchanges

    def add_exchange(self, exchange: Exchange, *, is_stored: bool = False) -> None:
        """Take in a new exchange, which may be in the store already."""
        self.exchanges[exchange.name] = exchange
        self.windows.add_exchange(exchange)
        if self.policies:
            self.policies.set_alternate(exchange)
        if self.store is not None and not is_stored:
            self.store.put_exchange(self.name, exchange)
        self.forget_routes()

    def delete_exchange(self, exchange: Exchange) -> None:
        """Remove an exchange and the bindings on both of its sides."""
        del self.exchanges[exchange.name]
        self.windows.remove_exchange(exchange)
        if self.store is not None:
            self.store.delete_exchange(self.name, exchange)
        for binding in list(exchange.bindings):
            self._forget_destination(binding)
        exchange.bindings.clear()
        self._unbind_destination(Destination("exchange", exchange.name))
        self.forget_routes()

    # bindings

    def bind(self, binding: Binding, *, is_stored: bool = False) -> bool:
        """Add a binding, which may be in the store already; return whether it is new.

        Raises :class:`~amqpbroker.errors.SoftError` 406 if the exchange refuses it.
        """
        exchange = self.exchange(binding.source)
        exchange.check_binding(binding)
        if not exchange.bind(binding):
            return False
        self._bindings_to.setdefault(binding.destination, {})[binding] = None
        if self.store is not None and not is_stored and self._is_durable(exchange, binding):
            self.store.put_binding(self.name, binding)
        self.forget_routes()
        return True

    def unbind(self, binding: Binding) -> None:
        """Remove a binding if it exists; an auto-delete exchange may go with it (A3.8)."""
        exchange = self.exchanges.get(binding.source)
        if exchange is None or not exchange.unbind(binding):
            return
        self._forget_destination(binding)
        if self.store is not None and self._is_durable(exchange, binding):
            self.store.delete_binding(self.name, binding)
        self.forget_routes()
        self._auto_delete([exchange])

    def _is_durable(self, source: Exchange, binding: Binding) -> bool:
        """Return whether a binding survives a restart: if both of its ends do (A4.8)."""
        kind, name = binding.destination
        end = self.queues[name] if kind == "queue" else self.exchanges[name]
        return source.is_durable and end.is_durable

    def bindings_to(self, destination: Destination) -> Iterable[Binding]:
        """Return the bindings that lead to a destination."""
        return self._bindings_to.get(destination, {})

    def _forget_destination(self, binding: Binding) -> None:
        bindings = self._bindings_to.get(binding.destination)
        if bindings is not None:
            bindings.pop(binding, None)
            if not bindings:
                del self._bindings_to[binding.destination]

    def _unbind_destination(self, destination: Destination) -> None:
        bindings = self._bindings_to.pop(destination, {})
        sources = {}
        for binding in bindings:
            source = self.exchanges.get(binding.source)
            if source is not None:
                source.unbind(binding)
                sources[source.name] = source
        self._auto_delete(sources.values())

    def _auto_delete(self, exchanges: Iterable[Exchange]) -> None:
        for exchange in exchanges:
            is_here = self.exchanges.get(exchange.name) is exchange
            if exchange.is_auto_delete and not exchange.bindings and is_here:
                self.delete_exchange(exchange)

    # queues

    def add_queue(self, queue: Queue, *, is_stored: bool = False) -> None:
        """Take in a new queue, which may be in the store already."""
        self.queues[queue.name] = queue
        if self.store is not None and queue.is_durable and not is_stored:
            self.store.put_queue(self.name, queue)
        if queue.owner is not None:
            queue.owner.exclusive_queues[queue.name] = queue
        queue.join(self)
        self.forget_routes()

    def page(self, pager: Pager) -> None:
        """Let all queues keep to a memory budget."""
        self.pager = pager
        for queue in self.queues.values():
            queue.pager = pager

    def delete_queue(self, queue: Queue) -> int:
        """Remove a queue with its bindings and messages; its consumers are told (A4.10, A6.13).

        Returns the number of ready messages dropped.
        """
        count, consumers = self.remove_queue(queue)
        for consumer in consumers:
            consumer.channel.session.cancelled_by_server(consumer)
        return count

    def remove_queue(self, queue: Queue) -> tuple[int, list[Consumer]]:
        """Remove a queue; return the number of ready messages dropped, and whom to tell."""
        del self.queues[queue.name]
        queue.is_deleted = True
        queue.stop()
        if self.store is not None and queue.is_durable:
            self.store.delete_queue(queue)
        if queue.owner is not None:
            queue.owner.exclusive_queues.pop(queue.name, None)
        self._unbind_destination(Destination("queue", queue.name))
        self.forget_routes()
        consumers = list(queue.consumers)
        for consumer in consumers:
            queue.remove_consumer(consumer)
            del consumer.channel.consumers[consumer.tag]
        return queue.purge(), consumers

    def expire_queue(self, queue: Queue) -> None:
        """Remove a queue that nobody has used for long enough (FEATURES A9.3)."""
        logger.info("%s: not used, deleted", described("queue", queue.name, self.name))
        self.delete_queue(queue)

    def check_unused(self, queue: Queue, *, if_unused: bool, if_empty: bool) -> None:
        """Hold a conditional delete against the queue.

        Raises :class:`~amqpbroker.errors.SoftError` 406 (FEATURES A4.10).
        """
        where = described("queue", queue.name, self.name)
        if if_unused and len(queue.consumers):
            raise precondition_failed(f"{where} in use")
        if if_empty and (queue.ready or queue.retries):
            raise precondition_failed(f"{where} not empty")
