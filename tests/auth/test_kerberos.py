"""Kerberos through a stand-in for the package; tests/features/test_gssapi.py has a real KDC."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from amqpbroker.auth.exceptions import AuthenticationFailed
from amqpbroker.auth.kerberos import Acceptor, reason_of


class GSSError(Exception):
    """As the package's: ``statuses`` are the texts of the library."""

    def __init__(self, *statuses: str, maj_code: int = 851968, min_code: int = 7) -> None:
        super().__init__(*statuses)
        self.maj_code, self.min_code = maj_code, min_code

    def get_all_statuses(self, code: int, is_maj: bool) -> list[str]:
        if code == 99:
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
        return [f"major {code}"] if is_maj else [str(text) for text in self.args]


class Raw:
    """The part of the package that is near the library; tokens are what comes of them."""

    GSSError = GSSError

    def accept_sec_context(self, token: bytes, credentials: Any, context: Any) -> Any:
        if token == b"bad":
            raise GSSError("Request is a replay")
        answer = None if token == b"silent" else b"answer"
        more = token == b"more"
        return SimpleNamespace(context=(context, token), more_steps=more, token=answer)

    def inquire_context(self, context: Any) -> Any:
        return SimpleNamespace(initiator_name=b"ann@R", target_name=b"amqp/h@R")

    def display_name(self, name: bytes, has_type: bool) -> Any:
        return SimpleNamespace(name=name)

    def wrap(self, context: Any, message: bytes, confidential: bool) -> Any:
        assert not confidential
        return SimpleNamespace(message=b"(" + message + b")")

    def unwrap(self, context: Any, message: bytes) -> Any:
        if not message.startswith(b"("):
            raise GSSError(maj_code=589824, min_code=0)
        return SimpleNamespace(message=message[1:-1])


class Package(SimpleNamespace):
    """What ``import gssapi`` gives."""

    def __init__(self, failure: GSSError | None = None) -> None:
        super().__init__(
            raw=Raw(),
            exceptions=SimpleNamespace(GSSError=GSSError),
            MechType=SimpleNamespace(kerberos="krb5"),
            NameType=SimpleNamespace(hostbased_service="service"),
        )
        self.asked: list[dict[str, Any]] = []
        self.failure = failure

    def Name(self, text: str, kind: str) -> tuple[str, str]:
        return text, kind

    def Credentials(self, **asked: Any) -> str:
        if self.failure is not None:
            raise self.failure
        self.asked.append(asked)
        return "credentials"


def install(monkeypatch: pytest.MonkeyPatch, package: Package) -> Package:
    monkeypatch.setitem(sys.modules, "gssapi", package)
    return package


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Package:
    return install(monkeypatch, Package())


def test_keys_are_of_the_service_on_any_host(package: Package) -> None:
    Acceptor("amqp", Path("amqp.keytab"))
    Acceptor("mq")
    common = {"usage": "accept", "mechs": ["krb5"]}
    assert package.asked == [
        {"name": ("amqp", "service"), "store": {"keytab": "amqp.keytab"}, **common},
        {"name": ("mq", "service"), **common},
    ]


def test_without_keys_it_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Package(GSSError("Key table file 'x' not found")))
    with pytest.raises(ValueError, match="Key table file 'x' not found"):
        Acceptor("amqp", Path("x"))


def test_a_context_is_complete_when_the_library_says_so(package: Package) -> None:
    context = Acceptor("amqp").open_context()
    assert context.accept(b"more") == b"answer"
    assert not context.is_complete
    assert context.accept(b"silent") == b""
    assert context.is_complete
    assert (context.initiator, context.acceptor) == (b"ann@R", b"amqp/h@R")


def test_messages_are_wrapped_in_the_clear(package: Package) -> None:
    context = Acceptor("amqp").open_context()
    assert context.wrap(b"x") == b"(x)"
    assert context.unwrap(b"(x)") == b"x"


def test_what_the_library_refuses_is_a_failed_login(package: Package) -> None:
    context = Acceptor("amqp").open_context()
    with pytest.raises(AuthenticationFailed, match="Kerberos: Request is a replay"):
        context.accept(b"bad")
    with pytest.raises(AuthenticationFailed, match="Kerberos: major 589824"):
        context.unwrap(b"bad")


def test_a_failure_is_not_called_a_success() -> None:
    assert reason_of(GSSError("Success")) == "the token cannot be read"


def test_a_reason_may_have_bytes_of_the_client_in_it() -> None:
    assert reason_of(GSSError("x", min_code=99)) == "error 851968, 99"
