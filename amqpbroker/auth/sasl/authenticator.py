"""One connection's SASL exchange: picks the mechanism, and finds out who somebody claims to be.

The server's side of it; nothing here waits, and nothing is decided::

    authenticator = Authenticator(store, peer, config.mechanisms)
    …connection.start with " ".join(authenticator.mechanism_names)…
    outcome = authenticator.start(mechanism, response)

and the same with :meth:`Authenticator.respond` for every connection.secure-ok, until the outcome is
no ``Challenge`` but a claim: then ``Chain.log_in`` makes a ``Principal`` of it, or raises
``AuthenticationFailed``. Log its reason and send ``login_refused(mechanism)``. ``Work`` is to be
run in a thread, and comes to one of these two.

RabbitMQ (3.10.8, tried) tells a client neither the 503 nor the 502 raised here: it logs them, waits
three seconds and drops the connection, as for every error before connection.tune.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from amqpbroker.auth.sasl import anonymous, external, gssapi
from amqpbroker.auth.sasl.amqplain import Amqplain
from amqpbroker.auth.sasl.anonymous import Anonymous
from amqpbroker.auth.sasl.crdemo import CrDemo
from amqpbroker.auth.sasl.external import External
from amqpbroker.auth.sasl.gssapi import Gssapi
from amqpbroker.auth.sasl.mechanism import (
    DEFAULT_SETTINGS,
    Challenge,
    Context,
    Mechanism,
    Offer,
    Peer,
    SaslSettings,
    Step,
    Work,
)
from amqpbroker.auth.sasl.plain import Plain
from amqpbroker.auth.sasl.scram import Scram
from amqpbroker.auth.scram_keys import SCRAM_SHA_256, SCRAM_SHA_512
from amqpbroker.errors import command_invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amqpbroker.auth.users import UserStore

OFFERS: Final[dict[str, Offer]] = {
    "PLAIN": Offer(lambda _context: Plain()),
    "AMQPLAIN": Offer(lambda _context: Amqplain()),
    "EXTERNAL": Offer(External, external.is_offered),
    "ANONYMOUS": Offer(Anonymous, anonymous.is_offered),
    SCRAM_SHA_256: Offer(partial(Scram, mechanism=SCRAM_SHA_256)),
    SCRAM_SHA_512: Offer(partial(Scram, mechanism=SCRAM_SHA_512)),
    "GSSAPI": Offer(Gssapi, gssapi.is_offered),
    "RABBIT-CR-DEMO": Offer(lambda _context: CrDemo()),
}
"""Every mechanism there is, by its SASL name."""

DEFAULT_MECHANISMS: Final = ("PLAIN", "AMQPLAIN")


class Authenticator:
    """One login, from connection.start to connection.tune."""

    def __init__(
        self,
        store: UserStore,
        peer: Peer,
        mechanisms: Sequence[str] = DEFAULT_MECHANISMS,
        settings: SaslSettings = DEFAULT_SETTINGS,
    ) -> None:
        """Offer ``mechanisms``, in this order, as far as peer and settings allow them.

        :raises KeyError: a name that is not in :data:`OFFERS`.
        """
        self._context = Context(store, peer, settings)
        self.mechanism_names = [
            name for name in mechanisms if OFFERS[name].is_offered(self._context)
        ]
        self._begun: Mechanism | None = None
        self._is_started = False

    def start(self, mechanism: str, response: bytes) -> Step:
        """Take connection.start-ok.

        :raises AuthenticationFailed: the login is refused.
        :raises HardError: 503, this mechanism is unknown or not offered; 502, a malformed response.
        """
        if self._is_started:
            raise command_invalid("authentication has already begun")
        self._is_started = True
        self._begun = self._begin(mechanism)
        return self._conclude(self._begun.step(response))

    def respond(self, response: bytes) -> Step:
        """Take connection.secure-ok.

        :raises AuthenticationFailed: the login is refused.
        :raises HardError: 502, a malformed response; 503, nobody asked.
        """
        if self._begun is None:
            raise command_invalid("connection.secure-ok without a challenge")
        return self._conclude(self._begun.step(response))

    def _begin(self, mechanism: str) -> Mechanism:
        if mechanism not in OFFERS:
            raise command_invalid(f"unknown authentication mechanism '{mechanism}'")
        if mechanism not in self.mechanism_names:
            raise command_invalid(f"invalid authentication mechanism '{mechanism}'")
        return OFFERS[mechanism].begin(self._context)

    def _conclude(self, step: Step) -> Step:
        if isinstance(step, Work):
            return Work(lambda: self._conclude(step.run()))
        if not isinstance(step, Challenge):
            self._begun = None
        return step
