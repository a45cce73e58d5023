"""The keys of ``rabbitmq.conf`` about backends: who is asked, and how each is to be reached.

Keys with a number or a name in them (``auth_backends.1.authn``, ``auth_oauth2.signing_keys.one``)
become one setting of ours, so this reads all of them first and then says what they come to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

BACKENDS: Final = {
    "oauth": "oauth2",
    "rabbit_auth_backend_cache": "cache",
    "rabbit_auth_backend_http": "http",
    "rabbit_auth_backend_internal": "internal",
    "rabbit_auth_backend_oauth2": "oauth2",
}
"""RabbitMQ's other names → ours."""

RENAMED: Final[Mapping[str, str]] = {
    "auth_oauth2.resource_server_id": "oauth2_resource_server_id",
    "auth_oauth2.scope_prefix": "oauth2_scope_prefix",
    "auth_oauth2.verify_aud": "oauth2_verify_aud",
    "auth_oauth2.require_exp": "oauth2_require_exp",
    "auth_oauth2.additional_scopes_key": "oauth2_additional_scopes_key",
    "auth_oauth2.default_key": "oauth2_default_key",
    "auth_oauth2.issuer": "oauth2_issuer",
    "auth_oauth2.jwks_url": "oauth2_jwks_url",
    "auth_oauth2.jwks_uri": "oauth2_jwks_url",
    "auth_oauth2.https.cacertfile": "oauth2_https_cacertfile",
    "credential_validator.validation_backend": "credential_validator",
    "credential_validator.min_length": "credential_validator_min_length",
    "credential_validator.regexp": "credential_validator_regexp",
    "auth_http.http_method": "auth_http_method",
    "auth_http.user_path": "auth_http_user_path",
    "auth_http.vhost_path": "auth_http_vhost_path",
    "auth_http.resource_path": "auth_http_resource_path",
    "auth_http.topic_path": "auth_http_topic_path",
    "auth_http.ssl_options.cacertfile": "auth_http_cacertfile",
}
MILLISECONDS: Final[Mapping[str, str]] = {
    "auth_http.request_timeout": "auth_http_request_timeout_s",
    "auth_http.connection_timeout": "auth_http_connection_timeout_s",
    "auth_cache.cache_ttl": "auth_cache_ttl_s",
}
VERIFY: Final[Mapping[str, str]] = {
    "auth_oauth2.https.peer_verification": "oauth2_https_verify",
    "auth_oauth2.https.verify": "oauth2_https_verify",
    "auth_http.ssl_options.verify": "auth_http_verify",
}
CACHED: Final = "auth_cache.cached_backend"
NAMED: Final = {
    "auth_oauth2.scope_aliases.": "oauth2_scope_aliases",
    "auth_oauth2.signing_keys.": "oauth2_signing_keys",
}
"""Beginning of keys that end in a name → setting that is a table."""
NUMBERED: Final = {
    "auth_oauth2.preferred_username_claims.": "oauth2_preferred_username_claims",
    "auth_oauth2.algorithms.": "oauth2_algorithms",
}
"""Beginning of keys that end in a number → setting that is a list, in the order of the lines."""

_NUMBER_DIGITS_MAX: Final = 9


@dataclass
class AuthKeys:
    """What was read so far."""

    tables: dict[str, dict[str, str]] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    aliases: dict[str, dict[str, str]] = field(default_factory=dict)
    """Number of an alias → its parts, where a name cannot be a part of a key."""
    backends: dict[int, dict[str, str]] = field(default_factory=dict)
    cached: dict[str, str] = field(default_factory=dict)

    def take(self, key: str, value: str) -> tuple[str, Any] | None:
        """Return the setting that a line changes and its value by now, None for another key."""
        if key in RENAMED:
            return RENAMED[key], value
        if key in VERIFY:
            known = {"verify_peer": True, "verify_none": False}
            return VERIFY[key], known.get(value, value)
        if key in MILLISECONDS:
            return MILLISECONDS[key], _seconds(value)
        if key.startswith("auth_backends."):
            return self._take_backend(key, value)
        if key.startswith(CACHED):
            part = key.removeprefix(CACHED).removeprefix(".")
            self.cached[part] = BACKENDS.get(value, value)
            return self._chain() if self.backends else ("auth_backends", ["internal"])
        for start, name in NUMBERED.items():
            if key.startswith(start):
                self.lists.setdefault(name, []).append(value)
                return name, list(self.lists[name])
        for start, name in NAMED.items():
            if key.startswith(start):
                return self._take_named(name, key.removeprefix(start), value)
        return None

    def _take_named(self, name: str, key: str, value: str) -> tuple[str, Any] | None:
        table = self.tables.setdefault(name, {})
        number, dot, part = key.partition(".")
        if dot and part in ("alias", "scope") and _is_number(number):
            alias = self.aliases.setdefault(number, {})
            alias[part] = value
            if len(alias) == 2:
                table[alias["alias"]] = alias["scope"]
        else:
            table[key] = value
        return name, dict(table)

    def _take_backend(self, key: str, value: str) -> tuple[str, Any] | None:
        number, _, part = key.removeprefix("auth_backends.").partition(".")
        if not _is_number(number) or part not in ("", "authn", "authz"):
            return None
        self.backends.setdefault(int(number), {})[part] = BACKENDS.get(value, value)
        return self._chain()

    def _chain(self) -> tuple[str, Any]:
        """Return the places by number; a cache is what it caches, ours do so by themselves."""
        cached = _entry(self.cached) or "internal"
        entries = [_entry(parts) for _, parts in sorted(self.backends.items())]
        return "auth_backends", [cached if entry == "cache" else entry for entry in entries]


def _seconds(value: str) -> float | str:
    """Return milliseconds as seconds; what is none stays, and the settings say what is wrong."""
    try:
        return int(value) / 1000
    except (ValueError, OverflowError):
        return value


def _is_number(text: str) -> bool:
    """Return whether a part of a key is one that things are numbered with."""
    return text.isascii() and text.isdigit() and len(text) <= _NUMBER_DIGITS_MAX


def _entry(parts: Mapping[str, str]) -> str:
    """Return a place in the chain; one of the two alone stands for both, as on RabbitMQ."""
    one, other = parts.get("authn"), parts.get("authz")
    if one is None or other is None:
        return parts.get("") or one or other or ""
    return one if one == other else f"{one}/{other}"
