"""``/policies`` and ``/operator-policies`` (FEATURES A13, A18.14).

A policy may be made by who has the tag policymaker and may enter its vhost, or by an administrator;
an operator policy by an administrator alone. A pattern that could take long to match holds up the
whole broker, so that only an administrator may give one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from amqpbroker.auth.principal import ADMINISTRATOR, POLICYMAKER
from amqpbroker.auth.regexp_costs import TOO_COSTLY, is_cheap
from amqpbroker.broker.policy_checks import InvalidPolicy, check_policy
from amqpbroker.management import accounts
from amqpbroker.management.call import Answer, Api, Json, created, done
from amqpbroker.management.errors import bad_request, not_authorised, not_found
from amqpbroker.management.listing import respond
from amqpbroker.management.paths import new_router

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from amqpbroker.broker.policies import Policy
    from amqpbroker.broker.vhost import VHost

router = new_router()


class Body(BaseModel):
    """The body of a PUT; what is not an object is left to the checks of policies."""

    pattern: Any
    definition: dict[str, Any]
    priority: Any = 0
    apply_to: Any = Field(default="all", alias="apply-to")


def describe(vhost: VHost, policy: Policy) -> dict[str, Any]:
    """Return a policy as the API shows it."""
    value = policy.to_json()
    return {
        "vhost": vhost.name,
        "name": policy.name,
        "pattern": value["pattern"],
        "apply-to": value["apply-to"],
        "definition": value["definition"],
        "priority": value["priority"],
    }


def _policies(vhost: VHost, *, is_operator: bool) -> Mapping[str, Policy]:
    return vhost.policies.operator_policies if is_operator else vhost.policies.policies


async def _list(call: Api, vhosts: Iterable[VHost], *, is_operator: bool) -> Answer:
    items = [
        (vhost, policy)
        for vhost in vhosts
        for policy in _policies(vhost, is_operator=is_operator).values()
    ]
    return await respond(
        call,
        items,
        lambda item: describe(*item),
        key=lambda item: (item[0].name, item[1].name),
    )


def _visible_one(call: Api, name: str) -> VHost:
    vhost = call.broker.vhosts.get(name)
    if vhost is not None and call.principal.has_tag(ADMINISTRATOR):
        return vhost
    return call.vhost(name)


def _vhost(call: Api, name: str, *, is_operator: bool) -> VHost:
    """Return a vhost whose policies of a kind the user may change."""
    if is_operator:
        call.require(ADMINISTRATOR)
    elif not call.principal.has_tag(ADMINISTRATOR) and not (
        call.principal.has_tag(POLICYMAKER) and call.may_enter(name)
    ):
        raise not_authorised("User not authorised to access object")
    return call.find_vhost(name)


def _show(call: Api, vhost: str, name: str, *, is_operator: bool) -> Answer:
    found = _vhost(call, vhost, is_operator=is_operator)
    policy = _policies(found, is_operator=is_operator).get(name)
    if policy is None:
        raise not_found()
    return Json(describe(found, policy))


async def _put(call: Api, vhost: str, name: str, *, is_operator: bool) -> Answer:
    found = _vhost(call, vhost, is_operator=is_operator)
    body = await call.body(Body)
    values = body.model_dump(by_alias=True)
    try:
        policy = check_policy(name, values, body.definition, is_operator=is_operator)
    except InvalidPolicy as error:
        raise bad_request(f"Validation failed\n\n{error}\n") from None
    if not call.principal.has_tag(ADMINISTRATOR) and not is_cheap(policy.pattern):
        raise bad_request(f"Validation failed\n\n{TOO_COSTLY}\n")
    is_new = name not in _policies(found, is_operator=is_operator)
    await accounts.put_policy(call.broker, found, policy, is_operator=is_operator)
    return created(is_new)


async def _delete(call: Api, vhost: str, name: str, *, is_operator: bool) -> Answer:
    found = _vhost(call, vhost, is_operator=is_operator)
    if name not in _policies(found, is_operator=is_operator):
        raise not_found()
    await accounts.delete_policy(call.broker, found, name, is_operator=is_operator)
    return done()


@router.get("/policies")
async def list_all(call: Api) -> Answer:
    """List the policies of all vhosts."""
    return await _list(call, call.managed_vhosts(), is_operator=False)


@router.get("/policies/{vhost:name}")
async def list_one(call: Api, vhost: str) -> Answer:
    """List the policies of a vhost."""
    return await _list(call, [_visible_one(call, vhost)], is_operator=False)


@router.get("/policies/{vhost:name}/{name:name}")
async def show(call: Api, vhost: str, name: str) -> Answer:
    """Show a policy."""
    return _show(call, vhost, name, is_operator=False)


@router.put("/policies/{vhost:name}/{name:name}")
async def put(call: Api, vhost: str, name: str) -> Answer:
    """Add or replace a policy; it is in force when this is answered."""
    return await _put(call, vhost, name, is_operator=False)


@router.delete("/policies/{vhost:name}/{name:name}")
async def delete(call: Api, vhost: str, name: str) -> Answer:
    """Delete a policy."""
    return await _delete(call, vhost, name, is_operator=False)


@router.get("/operator-policies")
async def list_all_of_operators(call: Api) -> Answer:
    """List the operator policies of all vhosts."""
    return await _list(call, call.managed_vhosts(), is_operator=True)


@router.get("/operator-policies/{vhost:name}")
async def list_one_of_operators(call: Api, vhost: str) -> Answer:
    """List the operator policies of a vhost."""
    return await _list(call, [_visible_one(call, vhost)], is_operator=True)


@router.get("/operator-policies/{vhost:name}/{name:name}")
async def show_of_operators(call: Api, vhost: str, name: str) -> Answer:
    """Show an operator policy."""
    return _show(call, vhost, name, is_operator=True)


@router.put("/operator-policies/{vhost:name}/{name:name}")
async def put_of_operators(call: Api, vhost: str, name: str) -> Answer:
    """Add or replace an operator policy; it is in force when this is answered."""
    return await _put(call, vhost, name, is_operator=True)


@router.delete("/operator-policies/{vhost:name}/{name:name}")
async def delete_of_operators(call: Api, vhost: str, name: str) -> Answer:
    """Delete an operator policy."""
    return await _delete(call, vhost, name, is_operator=True)
