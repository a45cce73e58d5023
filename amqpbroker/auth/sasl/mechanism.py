"""What a SASL mechanism is: bytes in, and out comes a claim, a proof or a challenge.

A mechanism never decides. It says what the client claims (:class:`Credentials`, still to be
checked), what the mechanism itself has proven (:class:`Identity`), or what the client must answer
next (:class:`Challenge`). The ``authenticator`` does the rest. What cannot be said at once is
:class:`Work`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from amqpbroker.auth.sasl.gssapi import GssapiLogin
    from amqpbroker.auth.users import UserStore

CertificateLogin = Literal["distinguished_name", "common_name", "subject_alternative_name"]


class Challenge(NamedTuple):
    """Bytes for connection.secure; the client's answer goes to the next step."""

    data: bytes


class Credentials(NamedTuple):
    """A name and a password that nobody has checked yet."""

    username: str
    password: bytes

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r})"


class Identity(NamedTuple):
    """A name that is proven; whether there is such a user is another question."""

    username: str


class StoredIdentity(NamedTuple):
    """A name that is proven by what the user database keeps of it: nobody else's business."""

    username: str


class Work(NamedTuple):
    """What may block: run it in a thread; it returns or raises what the step would have."""

    run: Callable[[], Step]


Step = Challenge | Work | Credentials | Identity | StoredIdentity


@dataclass(frozen=True, slots=True)
class CertificateNames:
    """The names in a client's certificate that TLS has verified.

    ``sans`` are (type, value) pairs in the certificate's order, with RabbitMQ's types: ``dns``,
    ``ip``, ``email``, ``uri``.
    """

    distinguished_name: str
    common_name: str | None = None
    sans: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of the connection, as far as the transport knows."""

    is_loopback: bool
    certificate: CertificateNames | None = None
    address: str = ""
    """Of the client, without the port."""
    is_tls: bool = False


@dataclass(frozen=True, slots=True)
class SaslSettings:
    """Settings of single mechanisms, named as in rabbitmq.conf.

    ``anonymous_login_user`` None turns ANONYMOUS off, ``gssapi`` None GSSAPI.
    ``ssl_cert_login_san_index`` counts from 0 among the names of that type.
    """

    anonymous_login_user: str | None = None
    ssl_cert_login_from: CertificateLogin = "distinguished_name"
    ssl_cert_login_san_type: str = "dns"
    ssl_cert_login_san_index: int = 0
    gssapi: GssapiLogin | None = None


DEFAULT_SETTINGS: Final = SaslSettings()


class Mechanism(Protocol):
    """One login by one mechanism: :meth:`step` is called once per message of the client."""

    def step(self, response: bytes) -> Step:
        """Return what follows from the client's message.

        :raises HardError: 502, it is not a message of this mechanism.
        :raises AuthenticationFailed: the mechanism itself refuses.
        """


class Context(NamedTuple):
    """What a mechanism may look at."""

    store: UserStore
    peer: Peer
    settings: SaslSettings = DEFAULT_SETTINGS


class Offer(NamedTuple):
    """A mechanism on offer: how to begin one, and to whom it is offered at all."""

    begin: Callable[[Context], Mechanism]
    is_offered: Callable[[Context], bool] = lambda _context: True


def decode_name(data: bytes) -> str:
    """Return a username from the wire; bytes that are no UTF-8 make a name that nobody has."""
    return data.decode("utf-8", "surrogateescape")
