"""SASL: one file per mechanism, and the authenticator that runs them."""

from __future__ import annotations

from amqpbroker.auth.sasl.authenticator import DEFAULT_MECHANISMS, OFFERS, Authenticator
from amqpbroker.auth.sasl.mechanism import CertificateNames, Challenge, Peer, SaslSettings

__all__ = [
    "DEFAULT_MECHANISMS",
    "OFFERS",
    "Authenticator",
    "CertificateNames",
    "Challenge",
    "Peer",
    "SaslSettings",
]
