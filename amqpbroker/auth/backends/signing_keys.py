"""The keys that tokens are signed with: PEM files, a JWKS file, a JWKS on the web.

A key that is not known makes the web be asked again, so that an authorization server can change
its keys; but not more often than every :data:`REFRESH_INTERVAL_S`, whatever strangers send. Keys
that are older than :data:`AGE_MAX_S` are fetched anew, and stay in use while that fails.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import anyio
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate
from jwt import PyJWK, PyJWTError

from amqpbroker.auth.exceptions import HttpFailed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

T = TypeVar("T")

logger = logging.getLogger("amqpbroker.oauth2")

REFRESH_INTERVAL_S: Final = 10.0
AGE_MAX_S: Final = 3600.0
DISCOVERY_PATH: Final = "/.well-known/openid-configuration"

ALGORITHMS: Final[Mapping[str, frozenset[str]]] = {
    "RSA": frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
    "EC": frozenset({"ES256", "ES256K", "ES384", "ES512"}),
    "OKP": frozenset({"EdDSA"}),
    "oct": frozenset({"HS256", "HS384", "HS512"}),
}
"""Type of key → what it may be used for. A public key is no secret: it never checks an HMAC."""


class KeyNotFound(Exception):
    """No key can verify the token; the text says why."""


class SigningKey(NamedTuple):
    """A key and the algorithms that it is good for."""

    algorithms: frozenset[str]
    load: Callable[[str], Any]
    """Algorithm → the key as PyJWT wants it."""


class SigningKeys:
    """Keys by their id (``kid``)."""

    def __init__(
        self,
        *,
        now: Callable[[], float],
        pem_files: Mapping[str, Path] | None = None,
        jwks_file: Path | None = None,
        jwks_url: str | None = None,
        issuer: str | None = None,
        fetch: Callable[[str], Awaitable[bytes]] | None = None,
    ) -> None:
        """Read the files; ``now`` is any clock in seconds, ``fetch`` gets what is at a URL.

        An ``issuer`` tells itself where its keys are, when they are needed.

        :raises ValueError: a file holds no keys.
        :raises OSError: a file cannot be read.
        """
        self._local = {name: read_pem(path) for name, path in (pem_files or {}).items()}
        if jwks_file is not None:
            try:
                self._local.update(read_jwks(jwks_file.read_bytes()))
            except ValueError as error:
                raise ValueError(f"{jwks_file}: {error}") from None
        self._url = jwks_url
        self._issuer = issuer
        self._fetch = fetch
        self._now = now
        self._fetched: dict[str, SigningKey] = {}
        self._asked_at: float | None = None
        self._fetched_at: float | None = None
        self._lock = anyio.Lock()

    async def find(self, key_id: str) -> SigningKey:
        """Return a key.

        :raises KeyNotFound: there is none of this id.
        """
        local = self._local.get(key_id)
        if local is not None:
            return local
        if self._url is not None or self._issuer is not None:
            async with self._lock:
                await self._refresh(key_id)
        try:
            return self._fetched[key_id]
        except KeyError:
            raise KeyNotFound("key_not_found") from None

    async def _refresh(self, key_id: str) -> None:
        """Ask the web if the key is unknown or old, and if it was not asked just now."""
        now = self._now()
        is_fresh = self._fetched_at is not None and now - self._fetched_at < AGE_MAX_S
        if is_fresh and key_id in self._fetched:
            return
        if self._asked_at is not None and now - self._asked_at < REFRESH_INTERVAL_S:
            return
        self._asked_at = now
        try:
            url = self._url or await self._discover()
            self._fetched = await self._get(url, read_jwks)
        except ValueError as error:
            logger.error("signing keys: %s", error)
            return
        self._fetched_at = now
        logger.info("signing keys: %d from %s", len(self._fetched), url)

    async def _discover(self) -> str:
        """Return where the issuer says that its keys are; raises as ``_get``."""
        assert self._issuer is not None
        return await self._get(self._issuer.rstrip("/") + DISCOVERY_PATH, read_discovery)

    async def _get(self, url: str, read: Callable[[bytes], T]) -> T:
        """Return what ``read`` finds at a URL.

        :raises ValueError: nothing; the text names the URL.
        """
        assert self._fetch is not None
        try:
            return read(await self._fetch(url))
        except (HttpFailed, ValueError) as error:
            raise ValueError(f"{url}: {error}") from None


def read_discovery(data: bytes) -> str:
    """Return the URL of the keys in an issuer's description (OpenID Connect Discovery 1.0).

    :raises ValueError: there is none.
    """
    try:
        url = json.loads(data)["jwks_uri"]
    except (ValueError, TypeError, KeyError):
        url = None
    if not isinstance(url, str) or not url.startswith(("https://", "http://")):
        raise ValueError("no description of an issuer with a jwks_uri")
    return url


def read_jwks(data: bytes) -> dict[str, SigningKey]:
    """Return the keys of a JSON Web Key Set (RFC 7517) by id; those without one are left out.

    :raises ValueError: it is no key set, or has no key to verify a token with.
    """
    try:
        keys = json.loads(data)["keys"]
        found = {key["kid"]: _from_jwk(key) for key in keys if "kid" in key and _is_usable(key)}
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ValueError("no JSON Web Key Set") from None
    if not found:
        raise ValueError("a JSON Web Key Set without a key that has a kid and can be used")
    return found


def _is_usable(key: Mapping[str, Any]) -> bool:
    return key.get("kty") in ALGORITHMS and key.get("use", "sig") == "sig"


def _from_jwk(key: Mapping[str, Any]) -> SigningKey:
    algorithms = ALGORITHMS[key["kty"]]
    named = key.get("alg")

    def load(algorithm: str) -> Any:
        try:
            return PyJWK(dict(key), algorithm).key
        except (PyJWTError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise KeyNotFound(f"the key '{key['kid']}' cannot be used: {error}") from None

    return SigningKey(algorithms & {named} if named is not None else algorithms, load)


def read_pem(path: Path) -> SigningKey:
    """Return the public key, or that of the certificate, in a PEM file.

    :raises ValueError: there is none.
    :raises OSError: the file cannot be read.
    """
    data = path.read_bytes()
    try:
        if b"BEGIN CERTIFICATE" in data:
            key: object = load_pem_x509_certificate(data).public_key()
        else:
            key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(f"{path}: no public key and no certificate in PEM") from None
    match key:
        case rsa.RSAPublicKey():
            algorithms = ALGORITHMS["RSA"]
        case ec.EllipticCurvePublicKey():
            algorithms = ALGORITHMS["EC"]
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            algorithms = ALGORITHMS["OKP"]
        case _:
            raise ValueError(f"{path}: a key of a type that signs no tokens")
    return SigningKey(algorithms, lambda _algorithm: key)
