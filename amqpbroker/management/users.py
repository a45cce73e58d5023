"""``/users`` (FEATURES A18.12)."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from amqpbroker.auth.login_threads import run_in_login_thread
from amqpbroker.auth.passwords import ALGORITHMS, SCRYPT, algorithm_of, is_well_formed
from amqpbroker.auth.principal import ADMINISTRATOR, User
from amqpbroker.management import accounts
from amqpbroker.management.call import Answer, Api, Json, Tags, created, done
from amqpbroker.management.errors import bad_request, not_found
from amqpbroker.management.listing import respond
from amqpbroker.management.paths import new_router

logger = logging.getLogger("amqpbroker.management")
router = new_router()


class Account(BaseModel):
    """The body of a PUT."""

    password: str | None = None
    password_hash: str | None = None
    hashing_algorithm: str | None = None
    tags: Tags = None


def describe(user: User) -> dict[str, Any]:
    """Return a user as the API shows it."""
    return {
        "name": user.name,
        "password_hash": user.password_hash or "",
        "hashing_algorithm": user.hashing_algorithm,
        "tags": list(user.tags),
        "limits": dict(user.limits),
    }


@router.get("/users")
async def list_all(call: Api) -> Answer:
    """List all users."""
    call.require(ADMINISTRATOR)
    users = list(call.broker.users.users.values())
    return await respond(call, users, describe, key=lambda user: (user.name,))


@router.get("/users/{name:name}")
async def show(call: Api, name: str) -> Answer:
    """Show a user."""
    call.require(ADMINISTRATOR)
    return Json(describe(_find(call, name)))


def _find(call: Api, name: str) -> User:
    user = call.broker.users.users.get(name)
    if user is None:
        raise not_found()
    return user


@router.put("/users/{name:name}")
async def put(call: Api, name: str) -> Answer:
    """Add a user, or replace password and tags."""
    call.require(ADMINISTRATOR)
    body = await call.body(Account)
    if body.tags is None:
        raise bad_request("tags_not_present")
    store = call.broker.users
    old = store.users.get(name)
    password_hash, algorithm = _checked_hash(body, store.passwords.algorithm)
    user = User(name, password_hash, algorithm, tuple(body.tags), old.limits if old else {})
    if old is not None and old.password_hash == password_hash:
        user = replace(user, scram_keys=old.scram_keys)
    if body.password is not None:
        mistake = call.broker.credential_validator.mistake(body.password)
        if mistake is not None:
            logger.error("credential validation for user '%s' failed: %s", name, mistake)
            raise bad_request("credential_validation_failed")
        store.put_user(replace(old, tags=user.tags) if old is not None else user)
        user = await run_in_login_thread(store.set_password, name, body.password)
    await accounts.put_user(call.broker, user)
    return created(old is None)


def _checked_hash(body: Account, default: str) -> tuple[str | None, str]:
    """Return the hash of a PUT and its algorithm; all that is shown or exported is taken back.

    Raises :class:`~amqpbroker.management.errors.ApiError` 400. An algorithm that nobody can check
    is refused, where RabbitMQ takes it for a user who then cannot log in.
    """
    if not body.password_hash:
        return None, default
    algorithm = body.hashing_algorithm or algorithm_of(body.password_hash, default)
    if algorithm not in ALGORITHMS:
        raise bad_request(["unknown_hashing_algorithm", algorithm])
    if not is_well_formed(body.password_hash, algorithm):
        mistake = "not_scrypt" if algorithm == SCRYPT else "not_base64"
        raise bad_request([mistake, body.password_hash])
    return body.password_hash, algorithm


@router.delete("/users/{name:name}")
async def delete(call: Api, name: str) -> Answer:
    """Delete a user with all permissions; the user's connections are closed."""
    call.require(ADMINISTRATOR)
    _find(call, name)
    await accounts.delete_user(call.broker, name)
    return done()
