"""rabbitmq.conf about backends."""

from __future__ import annotations

from typing import Any

import pytest

from amqpbroker.rabbitmq_conf import read

ONE = "auth_backends.1"


def values(*lines: str) -> dict[str, Any]:
    return read("\n".join(lines), "rabbitmq.conf").values


@pytest.mark.parametrize(
    ("lines", "backends"),
    [
        (["auth_backends.1 = internal"], ["internal"]),
        (["auth_backends.2 = internal", "auth_backends.1 = oauth2"], ["oauth2", "internal"]),
        (["auth_backends.1 = rabbit_auth_backend_oauth2"], ["oauth2"]),
        (["auth_backends.1 = oauth"], ["oauth2"]),
        (
            ["auth_backends.1.authn = oauth2", "auth_backends.1.authz = internal"],
            ["oauth2/internal"],
        ),
        (["auth_backends.1.authn = internal"], ["internal"]),
        (["auth_backends.1.authz = internal"], ["internal"]),
        (["auth_backends.1.authn = oauth2", "auth_backends.1.authz = oauth"], ["oauth2"]),
    ],
)
def test_backends_have_their_order_from_the_numbers(lines: list[str], backends: list[str]) -> None:
    assert values(*lines) == {"auth_backends": backends}


def test_tokens_are_set_up_as_on_rabbitmq() -> None:
    assert values(
        "auth_oauth2.resource_server_id = mq",
        "auth_oauth2.scope_prefix = mq-",
        "auth_oauth2.additional_scopes_key = roles",
        "auth_oauth2.verify_aud = false",
        "auth_oauth2.require_exp = false",
        "auth_oauth2.preferred_username_claims.1 = name",
        "auth_oauth2.preferred_username_claims.2 = email",
        "auth_oauth2.default_key = one",
        "auth_oauth2.signing_keys.one = one.pem",
        "auth_oauth2.signing_keys.two = two.pem",
        "auth_oauth2.issuer = https://example.com",
        "auth_oauth2.jwks_uri = https://example.com/keys",
        "auth_oauth2.https.cacertfile = ca.pem",
        "auth_oauth2.https.peer_verification = verify_none",
        "auth_oauth2.algorithms.1 = RS256",
        "auth_oauth2.scope_aliases.admin = mq.tag:administrator",
        "auth_oauth2.scope_aliases.1.alias = api://all",
        "auth_oauth2.scope_aliases.1.scope = mq.read:*/*",
    ) == {
        "oauth2_resource_server_id": "mq",
        "oauth2_scope_prefix": "mq-",
        "oauth2_additional_scopes_key": "roles",
        "oauth2_verify_aud": "false",
        "oauth2_require_exp": "false",
        "oauth2_preferred_username_claims": ["name", "email"],
        "oauth2_default_key": "one",
        "oauth2_signing_keys": {"one": "one.pem", "two": "two.pem"},
        "oauth2_issuer": "https://example.com",
        "oauth2_jwks_url": "https://example.com/keys",
        "oauth2_https_cacertfile": "ca.pem",
        "oauth2_https_verify": False,
        "oauth2_algorithms": ["RS256"],
        "oauth2_scope_aliases": {"admin": "mq.tag:administrator", "api://all": "mq.read:*/*"},
    }


def test_a_service_is_set_up_as_on_rabbitmq() -> None:
    assert values(
        "auth_backends.1 = cache",
        "auth_backends.2 = rabbit_auth_backend_internal",
        "auth_cache.cached_backend = http",
        "auth_cache.cache_ttl = 60000",
        "auth_http.http_method = post",
        "auth_http.user_path = http://auth/user",
        "auth_http.vhost_path = http://auth/vhost",
        "auth_http.resource_path = http://auth/resource",
        "auth_http.topic_path = http://auth/topic",
        "auth_http.request_timeout = 20000",
        "auth_http.connection_timeout = soon",
        "auth_http.ssl_options.cacertfile = ca.pem",
        "auth_http.ssl_options.verify = verify_peer",
    ) == {
        "auth_backends": ["http", "internal"],
        "auth_cache_ttl_s": 60,
        "auth_http_method": "post",
        "auth_http_user_path": "http://auth/user",
        "auth_http_vhost_path": "http://auth/vhost",
        "auth_http_resource_path": "http://auth/resource",
        "auth_http_topic_path": "http://auth/topic",
        "auth_http_request_timeout_s": 20,
        "auth_http_connection_timeout_s": "soon",
        "auth_http_cacertfile": "ca.pem",
        "auth_http_verify": True,
    }


def test_a_cache_is_what_it_caches() -> None:
    assert values("auth_backends.1 = cache") == {"auth_backends": ["internal"]}
    assert values(
        "auth_cache.cached_backend.authn = http",
        "auth_cache.cached_backend.authz = internal",
        "auth_backends.1 = cache",
    ) == {"auth_backends": ["http/internal"]}


@pytest.mark.parametrize(
    "key",
    [
        "auth_backends.x",
        "auth_backends.1.other",
        "auth_oauth2.token_endpoint",
        "auth_ldap.servers.1",
    ],
)
def test_other_keys_are_warned_of(key: str, caplog: pytest.LogCaptureFixture) -> None:
    assert values(f"{key} = x") == {}
    assert f"rabbitmq.conf:1: {key} is not read by amqpbroker" in caplog.messages


@pytest.mark.parametrize("digits", ["²", "9" * 400, "9" * 5000])
def test_numbers_that_are_none_or_beyond_all_bounds(
    digits: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert values(f"auth_http.request_timeout = {digits}") == {
        "auth_http_request_timeout_s": digits
    }
    assert values(f"auth_backends.{digits} = http") == {}
    assert "is not read" in caplog.text
