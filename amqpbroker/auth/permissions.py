"""May this user do that? Answers by raising what the client is told.

Which method needs which permission is the caller's to know (FEATURES A15.8)::

    configure   declare and delete, of queues and exchanges (a passive declare needs nothing)
    write       publish (the exchange), bind (the destination)
    read        consume, get, purge (the queue), bind (the source)

A decision holds as long as ``UserStore.generation`` stands still: channels cache it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

from amqpbroker.auth.regexps import escape, matches
from amqpbroker.errors import access_refused, not_allowed, precondition_failed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpbroker.auth.principal import Principal
    from amqpbroker.auth.users import UserStore

Kind = Literal["queue", "exchange"]
Permission = Literal["configure", "write", "read"]
TopicPermission = Literal["write", "read"]

DEFAULT_EXCHANGE: Final = "amq.default"
"""The name under which the nameless exchange is checked and reported."""

_VARIABLE: Final = re.compile(r"\{(\w+)\}")
_NO_VARIABLES: Final[Mapping[str, str]] = {}


def check_vhost(store: UserStore, username: str, vhost: str, *, exists: bool) -> None:
    """Let a user into a vhost, which takes a row of permissions, whatever they are.

    :raises HardError: 530, no such vhost or no row (FEATURES A1.12).
    """
    if not exists:
        raise not_allowed(f"vhost {vhost} not found")
    if (username, vhost) not in store.permissions:
        raise not_allowed(f"access to vhost '{vhost}' refused for user '{username}'")


def check_resource(
    store: UserStore,
    username: str,
    vhost: str,
    kind: Kind,
    name: str,
    *,
    permission: Permission,
) -> None:
    """Permit one of the three on a queue or an exchange. The default exchange is ``""``.

    :raises SoftError: 403, worded as RabbitMQ since 3.13 does (FEATURES A8.13).
    """
    if kind == "exchange" and not name:
        name = DEFAULT_EXCHANGE
    row = store.permissions.get((username, vhost))
    if row is None or not matches(getattr(row, permission), name):
        raise access_refused(
            f"{permission} access to {kind} '{name}' in vhost '{vhost}' "
            f"refused for user '{username}'"
        )


def check_topic(
    store: UserStore,
    username: str,
    vhost: str,
    exchange: str,
    routing_key: str,
    *,
    permission: TopicPermission,
    variables: Mapping[str, str] = _NO_VARIABLES,
) -> None:
    """Permit a routing key on a **topic** exchange (the caller sees to that); no row, no limit.

    ``{username}`` and ``{vhost}`` in a pattern stand for the names, letter by letter; ``variables``
    adds others, such as ``client_id``. An unknown one stays as it is (FEATURES A15.9).

    :raises SoftError: 403 (FEATURES A8.14).
    """
    row = store.topic_permissions.get((username, vhost, exchange))
    if row is None:
        return
    values = {**variables, "username": username, "vhost": vhost}
    if not matches(expand_variables(getattr(row, permission), values), routing_key):
        raise access_refused(
            f"{permission} access to topic '{routing_key}' in exchange '{exchange}' "
            f"in vhost '{vhost}' refused for user '{username}'"
        )


def expand_variables(pattern: str, values: Mapping[str, str]) -> str:
    """Return ``pattern`` with each ``{name}`` replaced by a pattern for that value alone.

    Escaped, as RabbitMQ 4.3 does: before, a user named ``.*`` could read every topic.
    """

    def value_of(match: re.Match[str]) -> str:
        value = values.get(match[1])
        return match[0] if value is None else escape(value)

    return _VARIABLE.sub(value_of, pattern)


def check_user_id(principal: Principal, user_id: str | None) -> None:
    """Permit the property ``user_id`` of a published message.

    :raises SoftError: 406, it names another user and the principal is no impersonator.
    """
    if user_id in (None, principal.username) or principal.is_impersonator:
        return
    raise precondition_failed(
        f"user_id property set to '{user_id}' but authenticated user was '{principal.username}'"
    )
