"""From claims to a user (FEATURES A15.6)."""

from __future__ import annotations

from typing import Any

import pytest

from amqpbroker.auth.backends.claims import SCOPE_COUNT_MAX, ClaimRules, InvalidClaims, read_claims

RULES = ClaimRules("rabbitmq")
CLAIMS: dict[str, Any] = {"sub": "ann", "aud": "rabbitmq", "exp": 100}


def granted(rules: ClaimRules = RULES, **claims: Any) -> set[str]:
    """The permissions on queue ``q`` of vhost ``v`` and the tags."""
    scopes = read_claims({**CLAIMS, **claims}, rules, 0).scopes
    found = {each for each in ("configure", "write", "read") if scopes.may_use("v", "q", each)}
    return found | set(scopes.tags)


def refused(rules: ClaimRules = RULES, now_s: float = 0, **claims: Any) -> str:
    with pytest.raises(InvalidClaims) as caught:
        read_claims({**CLAIMS, **claims}, rules, now_s)
    return str(caught.value)


def test_the_user_is_the_subject() -> None:
    token = read_claims(CLAIMS, RULES, 0)
    assert (token.username, token.expires_at_s) == ("ann", 100)
    assert read_claims({**CLAIMS, "sub": None, "client_id": "app"}, RULES, 0).username == "app"
    assert read_claims({**CLAIMS, "sub": 7}, RULES, 0).username == "unknown"


def test_other_claims_may_be_preferred() -> None:
    rules = ClaimRules("rabbitmq", preferred_username_claims=("email", "name"))
    assert read_claims({**CLAIMS, "name": "Ann"}, rules, 0).username == "Ann"
    assert read_claims(CLAIMS, rules, 0).username == "ann"


@pytest.mark.parametrize("audience", ["rabbitmq", "other rabbitmq", ["other", "rabbitmq"]])
def test_the_audience_must_be_this_broker(audience: object) -> None:
    read_claims({**CLAIMS, "aud": audience}, RULES, 0)


def test_a_token_for_others_is_refused() -> None:
    assert refused(aud="other") == "no_matching_aud_found"
    assert refused(aud=["rabbitmq2"]) == "no_matching_aud_found"
    assert refused(aud=7) == "no_matching_aud_found"
    assert refused(aud=None) == "no_aud_found"
    read_claims({**CLAIMS, "aud": "other"}, ClaimRules("rabbitmq", verify_aud=False), 0)


def test_the_time_must_not_be_over() -> None:
    text = "Provided JWT token has expired at timestamp 100 (validated at 100)"
    assert refused(now_s=100) == text
    assert refused(exp=None) == "Provided JWT token has no exp claim"
    assert "not a number" in refused(exp="tomorrow")
    assert "not a number" in refused(exp=True)
    assert refused(nbf=50, now_s=49) == "Provided JWT token is not valid before timestamp 50"
    endless = read_claims({**CLAIMS, "exp": None}, ClaimRules("rabbitmq", require_exp=False), 0)
    assert endless.expires_at_s is None


@pytest.mark.parametrize("scope", ["rabbitmq.read:*/* x rabbitmq.tag:management", None])
def test_scopes_are_words_with_our_prefix(scope: str | None) -> None:
    listed = ["rabbitmq.read:*/*", "rabbitmq.tag:management", "other.write:*/*", "write:*/*", 7]
    assert granted(scope=scope or listed) == {"read", "management"}


def test_the_prefix_may_be_another_or_none() -> None:
    rules = ClaimRules("rabbitmq", scope_prefix="")
    assert granted(rules, scope="read:*/*") == {"read"}
    assert granted(ClaimRules("rabbitmq", scope_prefix="mq-"), scope="mq-read:*/*") == {"read"}


def test_scopes_may_stand_elsewhere() -> None:
    rules = ClaimRules("rabbitmq", additional_scopes_key="roles a.b")
    read, write = "rabbitmq.read:*/*", "rabbitmq.write:*/*"
    assert granted(rules, roles=[read]) == {"read"}
    assert granted(rules, roles=f"{read} {write}") == {"read", "write"}
    assert granted(rules, roles={"rabbitmq": ["read:*/*"], "x": ["write:*/*"]}) == {"read"}
    assert granted(rules, a={"b": [write]}, scope=read) == {"read", "write"}
    assert granted(rules, a=[{"b": read}, 7, {"b": write}, {}]) == {"read", "write"}
    assert granted(rules, roles=7, a="x") == set()


def test_keycloaks_requesting_party_tokens() -> None:
    permissions = [{"scopes": ["rabbitmq.read:*/*"], "rsid": "1"}, {"scopes": []}]
    assert granted(authorization={"permissions": permissions}) == {"read"}


def test_an_alias_brings_scopes_along() -> None:
    aliases = {"admin": "rabbitmq.tag:administrator rabbitmq.read:*/*"}
    assert granted(ClaimRules("rabbitmq", scope_aliases=aliases), scope="admin other") == {
        "administrator",
        "read",
    }


def test_scopes_have_a_limit() -> None:
    many = [f"rabbitmq.read:*/{number}" for number in range(SCOPE_COUNT_MAX + 1)]
    assert refused(scope=many) == "too_many_scopes"
