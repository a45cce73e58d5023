"""Every mechanism with any responses: a login succeeds, fails or is malformed, and nothing else.

The first byte chooses the mechanism; responses are separated by 0xFF 0x00 0xFF.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from amqpbroker.auth.backends.chain import Chain
from amqpbroker.auth.exceptions import AuthenticationFailed
from amqpbroker.auth.passwords import SHA256, Passwords
from amqpbroker.auth.sasl.authenticator import OFFERS, Authenticator
from amqpbroker.auth.sasl.gssapi import GssapiLogin
from amqpbroker.auth.sasl.mechanism import Challenge, Peer, SaslSettings, Work
from amqpbroker.auth.scram_keys import SCRAM_MECHANISMS, load_scramp
from amqpbroker.auth.users import UserStore
from amqpbroker.errors import HardError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from amqpbroker.auth.sasl.mechanism import Step

T = TypeVar("T")

MECHANISMS: Final = tuple(OFFERS)
SEPARATOR: Final = b"\xff\x00\xff"
RESPONSE_COUNT_MAX: Final = 5

load_scramp()
STORE: Final = UserStore(Passwords(SHA256, scram_mechanisms=tuple(SCRAM_MECHANISMS)))
STORE.add_user("alice", "secret")

SEEDS: Final = [
    bytes([MECHANISMS.index(mechanism)]) + SEPARATOR.join(responses)
    for mechanism, responses in (
        ("PLAIN", [b"\0alice\0secret"]),
        ("AMQPLAIN", [b"\x05LOGINS\0\0\0\x05alice\x08PASSWORDS\0\0\0\x06secret"]),
        ("AMQPLAIN", [b"\x01aF\0\0\0\x00\x05LOGINx\0\0\0\x05alice\x08PASSWORDS\0\0\0\x06secret"]),
        ("EXTERNAL", [b""]),
        ("ANONYMOUS", [b"trace"]),
        ("SCRAM-SHA-256", [b"n,,n=alice,r=fyko+d2lbbFgONRv9qkxdawL", b"c=biws,r=fyko,p=AAAA"]),
        ("SCRAM-SHA-512", [b"n,,n=a=2Cb=3D,r=x", b"c=biws,r=x,p=dGVzdA==", b""]),
        ("SCRAM-SHA-256", [b"p=tls-unique,a=zoe,n=,r=,m=x", b"v=c"]),
        ("GSSAPI", [b"", b"alice@R", b"", b"\x01\0\0\0alice"]),
        ("GSSAPI", [b"more", b"alice@R", b"", b"\x01\0\0\0"]),
        ("GSSAPI", [b"alice/admin@R"]),
        ("RABBIT-CR-DEMO", [b"alice", b"My password is secret"]),
    )
]


class Ticket:
    """Takes for a ticket whose principal it is; what is wrapped stays as it is."""

    def __init__(self) -> None:
        self.is_complete = False
        self.initiator = self.acceptor = b""

    def accept(self, token: bytes) -> bytes:
        """Complete, but for one token that needs another."""
        if token != b"more":
            self.is_complete, self.initiator, self.acceptor = True, token, b"amqp/h@R"
        return token[:1]

    def wrap(self, message: bytes) -> bytes:
        """Return the same."""
        return message

    unwrap = wrap


def check(data: bytes) -> None:
    """Log in with what the input says."""
    if not data:
        return
    mechanism = MECHANISMS[data[0] % len(MECHANISMS)]
    settings = SaslSettings(anonymous_login_user="alice", gssapi=GssapiLogin(Ticket))
    login = Authenticator(STORE, Peer(is_loopback=False), MECHANISMS, settings)
    first, *others = data[1:].split(SEPARATOR)[:RESPONSE_COUNT_MAX]
    try:
        outcome = _done(login.start(mechanism, first))
        for response in others:
            if not isinstance(outcome, Challenge):
                break
            outcome = _done(login.respond(response))
        if isinstance(outcome, Challenge | Work):
            return
        principal = at_once(Chain(STORE).log_in(outcome, Peer(is_loopback=False)))
    except (HardError, AuthenticationFailed):
        return
    assert principal.username == "alice"
    if mechanism == "GSSAPI":
        assert b"alice@R" in data


def _done(outcome: Step) -> Step:
    return outcome.run() if isinstance(outcome, Work) else outcome


def at_once(login: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine returns that waits for nothing: SHA-256 is quick."""
    try:
        login.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    raise AssertionError("a login has waited")
