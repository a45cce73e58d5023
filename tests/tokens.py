"""An authorization server as far as tests need one: it signs tokens and shows its keys."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm

if TYPE_CHECKING:
    from collections.abc import Iterable

EVERYTHING = ("rabbitmq.configure:*/*", "rabbitmq.write:*/*", "rabbitmq.read:*/*")


class Issuer:
    """Signs with one key, whose id is ``key_id``."""

    def __init__(self, key_id: str = "one") -> None:
        self.key_id = key_id
        self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def jwk(self) -> dict[str, Any]:
        """The public key as a JWK."""
        key = json.loads(ECAlgorithm.to_jwk(self._key.public_key()))
        return {**key, "kid": self.key_id, "use": "sig"}

    @property
    def jwks(self) -> bytes:
        """The key set of this issuer alone."""
        return json.dumps({"keys": [self.jwk]}).encode()

    @property
    def pem(self) -> bytes:
        """The public key in PEM."""
        return self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def token(
        self,
        scopes: Iterable[str] | str = EVERYTHING,
        *,
        lifetime_s: float = 60,
        headers: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """Return a token; a claim that is None is left out."""
        known = {
            "sub": "ann",
            "aud": ["rabbitmq"],
            "exp": int(time.time() + lifetime_s),
            "scope": scopes if isinstance(scopes, str) else list(scopes),
            **claims,
        }
        payload = {name: value for name, value in known.items() if value is not None}
        header = {"kid": self.key_id} if headers is None else headers
        return jwt.encode(payload, self._key, "ES256", header)
