"""The chain of backends that the settings describe, and the keys for GSSAPI
(docs/authentication.md, docs/kerberos.md).

What a backend needs is imported when it is listed, because start-up time is a feature.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from amqpbroker.auth.backends.chain import Chain, Link
from amqpbroker.auth.backends.internal import InternalBackend

if TYPE_CHECKING:
    from amqpbroker.auth.backends.backend import Backend
    from amqpbroker.auth.backends.signing_keys import SigningKeys
    from amqpbroker.auth.sasl.gssapi import GssapiLogin
    from amqpbroker.auth.users import UserStore
    from amqpbroker.config import Config


def open_chain(config: Config, store: UserStore) -> Chain:
    """Return the chain; files are read, but nothing is fetched before somebody logs in.

    :raises ValueError: what is missing, as a text for who wrote the settings.
    :raises OSError: a file cannot be read.
    """
    names = {name for entry in config.auth_backends for name in entry.split("/")}
    backends = {name: _open(name, config, store) for name in names}
    links = []
    for entry in config.auth_backends:
        authentication, _, authorization = entry.partition("/")
        links.append(Link(backends[authentication], backends[authorization or authentication]))
    return Chain(store, links)


def open_gssapi(config: Config) -> GssapiLogin | None:
    """Return what GSSAPI needs, None if it is not in the list.

    :raises ValueError: what is missing, as a text for who wrote the settings.
    """
    if "GSSAPI" not in config.auth_mechanisms:
        return None
    from amqpbroker.auth.kerberos import Acceptor
    from amqpbroker.auth.sasl.gssapi import GssapiLogin

    try:
        acceptor = Acceptor(config.auth_gssapi_service, config.auth_gssapi_keytab)
    except ImportError as error:
        raise ValueError(
            "auth_mechanisms lists GSSAPI, which needs the system's Kerberos library and the "
            f"package gssapi: pip install 'amqpbroker[gssapi]' ({error})"
        ) from None
    except ValueError as error:
        where = config.auth_gssapi_keytab or "the keytab of the system"
        raise ValueError(
            f"auth_mechanisms lists GSSAPI: {where} has no key of service "
            f"'{config.auth_gssapi_service}' ({error}): set auth_gssapi_keytab, auth_gssapi_service"
        ) from None
    return GssapiLogin(acceptor.open_context, frozenset(config.auth_gssapi_realms))


def _open(name: str, config: Config, store: UserStore) -> Backend:
    match name:
        case "oauth2":
            return _open_oauth2(config)
        case "http":
            return _open_http(config)
        case _:
            return InternalBackend(store)


def _open_http(config: Config) -> Backend:
    from amqpbroker.auth.backends.answer_cache import AnswerCache
    from amqpbroker.auth.backends.http import HttpBackend, HttpPaths
    from amqpbroker.http_client import HttpClient

    client = HttpClient(
        timeout_s=config.auth_http_request_timeout_s,
        connect_timeout_s=config.auth_http_connection_timeout_s,
        ca_file=config.auth_http_cacertfile,
        is_verifying=config.auth_http_verify,
    )
    paths = HttpPaths(
        config.auth_http_user_path,
        config.auth_http_vhost_path,
        config.auth_http_resource_path,
        config.auth_http_topic_path,
    )
    cache = AnswerCache(config.auth_cache_ttl_s, config.auth_cache_count_max, time.monotonic)
    return HttpBackend(paths, client.request, cache, is_post=config.auth_http_method == "post")


def _open_oauth2(config: Config) -> Backend:
    try:
        from amqpbroker.auth.backends.oauth2 import OAuth2Backend
    except ImportError:
        raise ValueError(
            "auth_backends lists oauth2, which needs PyJWT: pip install 'amqpbroker[oauth2]'"
        ) from None
    from amqpbroker.auth.backends.claims import ClaimRules

    if not config.oauth2_resource_server_id:
        raise ValueError("auth_backends lists oauth2: set oauth2_resource_server_id")
    rules = ClaimRules(
        config.oauth2_resource_server_id,
        config.oauth2_scope_prefix,
        config.oauth2_verify_aud,
        config.oauth2_require_exp,
        config.oauth2_additional_scopes_key,
        config.oauth2_scope_aliases,
        config.oauth2_preferred_username_claims,
    )
    return OAuth2Backend(
        rules,
        _signing_keys(config),
        time.time,
        algorithms=frozenset(config.oauth2_algorithms) or None,
        default_key=config.oauth2_default_key,
    )


def _signing_keys(config: Config) -> SigningKeys:
    from amqpbroker.auth.backends.signing_keys import SigningKeys
    from amqpbroker.http_client import HttpClient

    sources = (
        config.oauth2_issuer,
        config.oauth2_jwks_url,
        config.oauth2_jwks_file,
        config.oauth2_signing_keys,
    )
    if not any(sources):
        raise ValueError(
            "auth_backends lists oauth2: set oauth2_issuer, oauth2_jwks_url, oauth2_jwks_file or "
            "oauth2_signing_keys, for the keys that tokens are signed with"
        )
    client = HttpClient(
        timeout_s=config.oauth2_timeout_s,
        ca_file=config.oauth2_https_cacertfile,
        is_verifying=config.oauth2_https_verify,
    )
    return SigningKeys(
        now=time.monotonic,
        pem_files=config.oauth2_signing_keys,
        jwks_file=config.oauth2_jwks_file,
        jwks_url=config.oauth2_jwks_url,
        issuer=config.oauth2_issuer,
        fetch=client.get,
    )
