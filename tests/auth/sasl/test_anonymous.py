"""ANONYMOUS: everybody is one configured user."""

from __future__ import annotations

from amqpbroker.auth.sasl.anonymous import Anonymous, is_offered
from amqpbroker.auth.sasl.mechanism import Context, Peer, SaslSettings
from amqpbroker.auth.users import UserStore


def context(username: str | None) -> Context:
    return Context(UserStore(), Peer(True), SaslSettings(anonymous_login_user=username))


def test_everybody_is_the_configured_user() -> None:
    assert Anonymous(context("nobody")).step(b"trace@example") == ("nobody",)


def test_it_is_offered_when_a_user_is_configured() -> None:
    assert is_offered(context("nobody"))
    assert not is_offered(context(None))
