"""What every exchange has, whatever its type.

A type is one class in ``types/``. It writes one method, :meth:`Exchange.destinations`; if it
keeps an index of its bindings it also writes the two hooks :meth:`Exchange._added` and
:meth:`Exchange._removed`. Four class variables tell the broker how to use it::

    is_per_key   each of a message's keys (routing key, CC, BCC) is matched on its own;
                 otherwise the type is asked once per message
    is_keyed     the result depends on bindings and keys alone: cacheable by routing key
    is_stable    equal messages have equal results until a binding changes
    type_name    the name on the wire

Whether an exchange may be bound, deleted or published to is the broker's business.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final

from amqpbroker.errors import precondition_failed
from amqpbroker.routing.deduplication import check_deduplication
from amqpbroker.routing.erlang_terms import KIND_NAMES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from amqpbroker.routing.binding import Binding, Destination
    from amqpbroker.routing.message import Routable

ALTERNATE_EXCHANGE: Final = "alternate-exchange"


class Exchange(ABC):
    """An exchange and the bindings of which it is the source."""

    __slots__ = (
        "alternate",
        "arguments",
        "bindings",
        "bound_exchanges",
        "is_auto_delete",
        "is_durable",
        "is_internal",
        "name",
    )

    type_name: ClassVar[str]
    is_per_key: ClassVar[bool] = False
    is_keyed: ClassVar[bool] = False
    is_stable: ClassVar[bool] = True

    def __init__(
        self,
        name: str,
        *,
        is_durable: bool = True,
        is_auto_delete: bool = False,
        is_internal: bool = False,
        arguments: Mapping[str, tuple[str, Any]] | None = None,
        vhost: str = "/",
    ) -> None:
        """Make an exchange without bindings; ``vhost`` is only for the error's text.

        Raises 406 if an argument that the type reads is not valid.
        """
        self.name = name
        self.is_durable = is_durable
        self.is_auto_delete = is_auto_delete
        self.is_internal = is_internal
        self.arguments: dict[str, tuple[str, Any]] = dict(arguments or {})
        self.bindings: dict[Binding, None] = {}
        """In the order in which they were made."""
        self.bound_exchanges: dict[str, int] = {}
        """Exchanges that are destinations here, with the number of bindings to each."""
        where = f"exchange '{name}' in vhost '{vhost}'"
        check_deduplication(self.arguments, where)
        self.alternate = self._name_argument(ALTERNATE_EXCHANGE, where)
        """Where messages go that have no destination here; a policy may set it too."""
        self._check_arguments(where)

    def _name_argument(self, argument: str, where: str) -> str | None:
        """Return an argument that holds a name; raises 406 if it is not a long string."""
        if argument not in self.arguments:
            return None
        kind, value = self.arguments[argument]
        if kind != "S":
            text = f"invalid type '{KIND_NAMES[kind]}' for arg '{argument}' in {where}"
            raise precondition_failed(text)
        name: str = value.decode("utf-8", "surrogateescape")
        return name

    def set_policy_alternate(self, name: str | None) -> None:
        """Take the alternate exchange that a policy names; an argument is stronger (A13.3)."""
        if ALTERNATE_EXCHANGE not in self.arguments:
            self.alternate = name

    def _check_arguments(self, where: str) -> None:  # noqa: B027 - most types have none
        """Read the arguments of the type; raise 406 as RabbitMQ does if one is not valid."""

    def check_binding(self, binding: Binding) -> None:  # noqa: B027 - most types take any
        """Raise 406 if the type refuses the binding's key, arguments or destination."""

    def check_queue_type(self, queue_type: str) -> None:  # noqa: B027 - most types take any
        """Raise 406 if the type refuses to be bound to a "quorum" or "stream" queue."""

    def bind(self, binding: Binding) -> bool:
        """Add a binding and return True, or return False if it exists."""
        if binding in self.bindings:
            return False
        self.bindings[binding] = None
        kind, name = binding.destination
        if kind == "exchange":
            self.bound_exchanges[name] = self.bound_exchanges.get(name, 0) + 1
        self._added(binding)
        return True

    def unbind(self, binding: Binding) -> bool:
        """Remove a binding and return True, or return False if there is no such binding."""
        if binding not in self.bindings:
            return False
        del self.bindings[binding]
        kind, name = binding.destination
        if kind == "exchange":
            self.bound_exchanges[name] -= 1
            if not self.bound_exchanges[name]:
                del self.bound_exchanges[name]
        self._removed(binding)
        return True

    def _added(self, binding: Binding) -> None:  # noqa: B027 - not every type has an index
        """Put a binding, already in ``bindings``, into the type's index."""

    def _removed(self, binding: Binding) -> None:  # noqa: B027 - not every type has an index
        """Take a binding, no longer in ``bindings``, out of the type's index."""

    @abstractmethod
    def destinations(self, message: Routable, routing_key: str) -> Collection[Destination]:
        """Return where a message goes; repeats are allowed, the caller drops them.

        Called for each of the message's keys if ``is_per_key``, else once with its routing key.
        """

    def history(self) -> Sequence[Routable]:
        """Return the kept messages, oldest first, that a new destination must be sent."""
        return ()
