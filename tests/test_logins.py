"""From settings to a chain."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from amqpbroker.auth.exceptions import AuthenticationFailed
from amqpbroker.auth.sasl.mechanism import Credentials, Peer
from amqpbroker.auth.users import UserStore
from amqpbroker.config import Config
from amqpbroker.logins import open_chain, open_gssapi
from tests.auth.test_kerberos import GSSError, Package
from tests.tokens import Issuer
from tests.web import serve_web

if TYPE_CHECKING:
    from pathlib import Path

LOCAL = Peer(is_loopback=True)
ISSUER = Issuer()


@pytest.fixture
def store() -> UserStore:
    store = UserStore()
    store.add_default_user()
    return store


@pytest.fixture
def token_settings(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "jwks.json"
    path.write_bytes(ISSUER.jwks)
    return {"oauth2_resource_server_id": "rabbitmq", "oauth2_jwks_file": path}


async def test_the_default_is_the_brokers_own_users(store: UserStore) -> None:
    chain = open_chain(Config(is_memory=True), store)
    assert (await chain.log_in(Credentials("guest", b"guest"), LOCAL)).username == "guest"


async def test_backends_are_asked_in_their_order(
    store: UserStore, token_settings: dict[str, Any]
) -> None:
    config = Config(is_memory=True, auth_backends=("oauth2", "internal"), **token_settings)
    chain = open_chain(config, store)
    for password, name in ((b"guest", "guest"), (ISSUER.token().encode(), "ann")):
        assert (await chain.log_in(Credentials("guest", password), LOCAL)).username == name
    with pytest.raises(AuthenticationFailed, match=r"token failed: .*; user 'guest' - invalid"):
        await chain.log_in(Credentials("guest", b"wrong"), LOCAL)


async def test_a_token_may_say_who_and_the_users_what(
    store: UserStore, token_settings: dict[str, Any]
) -> None:
    config = Config(is_memory=True, auth_backends=("oauth2/internal",), **token_settings)
    chain = open_chain(config, store)
    token = ISSUER.token(sub="guest").encode()
    principal = await chain.log_in(Credentials("", token), LOCAL)
    assert principal.tags == ("administrator",)
    with pytest.raises(AuthenticationFailed, match="user 'ann' - invalid credentials"):
        await chain.log_in(Credentials("", ISSUER.token().encode()), LOCAL)


async def test_a_service_may_say_who(store: UserStore) -> None:
    with serve_web() as web:
        web.answer = lambda _request: (200, b"allow monitoring")
        settings: dict[str, Any] = {"auth_http_user_path": f"{web.url}/user"}
        config = Config(
            is_memory=True, auth_backends=("http",), auth_http_method="post", **settings
        )
        principal = await open_chain(config, store).log_in(Credentials("ann", b"x"), LOCAL)
    assert (principal.username, principal.tags) == ("ann", ("monitoring",))
    assert principal.is_remote
    assert [(request.method, request.path) for request in web.requests] == [("POST", "/user")]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, "set oauth2_resource_server_id"),
        ({"oauth2_resource_server_id": "mq"}, "set oauth2_issuer, oauth2_jwks_url"),
    ],
)
def test_what_is_missing_is_named(store: UserStore, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        open_chain(Config(is_memory=True, auth_backends=("oauth2",), **settings), store)


def test_without_the_library_it_says_what_to_install(
    store: UserStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "amqpbroker.auth.backends.oauth2", None)
    with pytest.raises(ValueError, match=r"pip install 'amqpbroker\[oauth2\]'"):
        open_chain(Config(is_memory=True, auth_backends=("oauth2",)), store)


def test_without_gssapi_no_keys_are_looked_for() -> None:
    assert open_gssapi(Config(is_memory=True)) is None


def test_gssapi_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gssapi", None)
    with pytest.raises(ValueError, match=r"pip install 'amqpbroker\[gssapi\]'"):
        open_gssapi(Config(is_memory=True, auth_mechanisms=("GSSAPI",)))


def test_gssapi_without_a_key_says_where_none_was(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = Package(GSSError("No key table entry found"))
    monkeypatch.setitem(sys.modules, "gssapi", package)
    keytab = tmp_path / "mq.keytab"
    keytab.touch()
    settings: dict[str, Any] = {"auth_mechanisms": ("GSSAPI",), "auth_gssapi_service": "mq"}
    for given, where in ((keytab, str(keytab)), (None, "the keytab of the system")):
        with pytest.raises(ValueError, match="No key table entry found") as caught:
            open_gssapi(Config(is_memory=True, auth_gssapi_keytab=given, **settings))
        assert f"{where} has no key of service 'mq'" in str(caught.value)


def test_gssapi_takes_its_realms_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gssapi", Package())
    config = Config(is_memory=True, auth_mechanisms=("GSSAPI",), auth_gssapi_realms=("A", "B"))
    login = open_gssapi(config)
    assert login is not None
    assert login.realms == {"A", "B"}
    assert not login.open_context().is_complete
