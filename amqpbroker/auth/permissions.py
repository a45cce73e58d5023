"""May this user do that? Answers by raising what the client is told.

Which method needs which permission is the caller's to know (FEATURES A15.8)::

    configure   declare and delete, of queues and exchanges (a passive declare needs nothing)
    write       publish (the exchange), bind (the destination)
    read        consume, get, purge (the queue), bind (the source)

All authorities of the principal must agree; who has none may nothing. Each of the checks raises
``Unanswered`` if one of them has to ask elsewhere first (see ``backends.backend``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from amqpbroker.auth.backends.backend import BackendFailed
from amqpbroker.errors import access_refused, not_allowed, precondition_failed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from amqpbroker.auth.backends.backend import Authority
    from amqpbroker.auth.principal import Principal

Kind = Literal["queue", "exchange"]
Permission = Literal["configure", "write", "read"]
TopicPermission = Literal["write", "read"]

DEFAULT_EXCHANGE: Final = "amq.default"
"""The name under which the nameless exchange is checked and reported."""

_NO_VARIABLES: Final[Mapping[str, str]] = {}


def may_enter(principal: Principal, vhost: str) -> bool:
    """Return whether a user may open a vhost; a backend that fails means no."""
    try:
        return _agree(principal, lambda authority: authority.may_enter(vhost))
    except BackendFailed:
        return False


def check_vhost(principal: Principal, vhost: str, *, exists: bool) -> None:
    """Let a user into a vhost.

    :raises HardError: 530, no such vhost, or the user has no business there (FEATURES A1.12).
    """
    if not exists:
        raise not_allowed(f"vhost {vhost} not found")
    text = f"access to vhost '{vhost}' refused for user '{principal.username}'"
    try:
        is_permitted = _agree(principal, lambda authority: authority.may_enter(vhost))
    except BackendFailed as failure:
        raise not_allowed(f"{text}, {failure}") from None
    if not is_permitted:
        raise not_allowed(text)


def check_resource(
    principal: Principal, vhost: str, kind: Kind, name: str, *, permission: Permission
) -> None:
    """Permit one of the three on a queue or an exchange. The default exchange is ``""``.

    :raises SoftError: 403, worded as RabbitMQ since 3.13 does (FEATURES A8.13).
    """
    if kind == "exchange" and not name:
        name = DEFAULT_EXCHANGE
    _check(
        principal,
        lambda authority: authority.may_use(vhost, kind, name, permission),
        f"{permission} access to {kind} '{name}' in vhost '{vhost}'",
    )


def check_topic(
    principal: Principal,
    vhost: str,
    exchange: str,
    routing_key: str,
    *,
    permission: TopicPermission,
    variables: Mapping[str, str] = _NO_VARIABLES,
) -> None:
    """Permit a routing key on a **topic** exchange (the caller sees to that).

    ``variables``, such as ``client_id``, are for patterns that know them (FEATURES A15.9).

    :raises SoftError: 403 (FEATURES A8.14).
    """
    _check(
        principal,
        lambda authority: authority.may_use_topic(
            vhost, exchange, routing_key, permission, variables
        ),
        f"{permission} access to topic '{routing_key}' in exchange '{exchange}' in vhost '{vhost}'",
    )


def _agree(principal: Principal, permits: Callable[[Authority], bool]) -> bool:
    authorities = principal.authorities
    return bool(authorities) and all(permits(authority) for authority in authorities)


def _check(principal: Principal, permits: Callable[[Authority], bool], what: str) -> None:
    text = f"{what} refused for user '{principal.username}'"
    try:
        is_permitted = _agree(principal, permits)
    except BackendFailed as failure:
        raise access_refused(f"{text}, {failure}") from None
    if not is_permitted:
        raise access_refused(text)


def check_user_id(principal: Principal, user_id: str | None) -> None:
    """Permit the property ``user_id`` of a published message.

    :raises SoftError: 406, it names another user and the principal is no impersonator.
    """
    if user_id in (None, principal.username) or principal.is_impersonator:
        return
    raise precondition_failed(
        f"user_id property set to '{user_id}' but authenticated user was '{principal.username}'"
    )
