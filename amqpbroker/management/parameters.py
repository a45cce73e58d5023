"""``/parameters`` and ``/global-parameters`` (FEATURES A13.7, A18.14).

Parameters of a vhost belong to components: operator policies and limits here; policies are shown as
parameters but made by ``policies``. Global parameters are values that the broker keeps for others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from amqpbroker.auth.principal import ADMINISTRATOR, POLICYMAKER
from amqpbroker.broker.policies import OPERATOR_POLICY
from amqpbroker.broker.policy_checks import InvalidPolicy, check_policy
from amqpbroker.broker.quotas import VHOST_LIMITS
from amqpbroker.definitions.account_checks import check_limits
from amqpbroker.definitions.exceptions import DefinitionsError
from amqpbroker.management import accounts
from amqpbroker.management.call import Answer, Api, Json, created, done
from amqpbroker.management.errors import ApiError, bad_request, not_authorised, not_found
from amqpbroker.management.listing import respond
from amqpbroker.management.paths import new_router

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from amqpbroker.broker.vhost import VHost
    from amqpbroker.management.listing import Row

router = new_router()

POLICY: Final = "policy"
LIMITS: Final = "vhost-limits"
_POLICY_KEYS: Final = ("priority", "pattern", "definition")


class Body(BaseModel):
    """The body of a PUT; the value is any JSON."""

    value: Any


def _require(call: Api, vhost: str | None = None) -> None:
    """Let those go on who may see parameters, all of them or in a vhost."""
    if call.principal.has_tag(ADMINISTRATOR):
        return
    if not call.principal.has_tag(POLICYMAKER) or not (vhost is None or call.may_enter(vhost)):
        raise not_authorised("User not authorised to access object")


def _vhost(call: Api, name: str) -> VHost:
    _require(call, name)
    return call.find_vhost(name)


def rows(vhost: VHost) -> Iterator[Row]:
    """Yield the parameters of a vhost; policies are not listed among them."""
    if vhost.limits:
        yield _row(vhost, LIMITS, "limits", dict(vhost.limits))
    for policy in vhost.policies.operator_policies.values():
        yield _row(vhost, OPERATOR_POLICY, policy.name, policy.to_json())


def _rows_of(vhost: VHost, component: str) -> list[Row]:
    if component == POLICY:
        policies = vhost.policies.policies.values()
        return [_row(vhost, POLICY, policy.name, policy.to_json()) for policy in policies]
    return [row for row in rows(vhost) if row["component"] == component]


def _row(vhost: VHost, component: str, name: str, value: object) -> Row:
    return {"value": value, "vhost": vhost.name, "component": component, "name": name}


async def _respond(call: Api, items: Iterable[Row]) -> Json:
    def key(row: Row) -> tuple[str, ...]:
        return row["vhost"], row["component"], row["name"]

    return await respond(call, items, lambda row: row, key=key)


def _find(vhost: VHost, component: str, name: str) -> Row | None:
    found = (row for row in _rows_of(vhost, component) if row["name"] == name)
    return next(found, None)


def _invalid(text: str) -> ApiError:
    return bad_request(f"Validation failed\n\n{text}\n")


@router.get("/parameters")
async def list_all(call: Api) -> Answer:
    """List the parameters of all vhosts."""
    _require(call)
    return await _respond(call, [row for vhost in call.managed_vhosts() for row in rows(vhost)])


@router.get("/parameters/{component:name}")
async def list_of_component(call: Api, component: str) -> Answer:
    """List the parameters of a component."""
    _require(call)
    items = [row for vhost in call.managed_vhosts() for row in _rows_of(vhost, component)]
    return await _respond(call, items)


@router.get("/parameters/{component:name}/{vhost:name}")
async def list_of_vhost(call: Api, component: str, vhost: str) -> Answer:
    """List the parameters of a component in a vhost."""
    return await _respond(call, _rows_of(_vhost(call, vhost), component))


@router.get("/parameters/{component:name}/{vhost:name}/{name:name}")
async def show(call: Api, component: str, vhost: str, name: str) -> Answer:
    """Show a parameter."""
    row = _find(_vhost(call, vhost), component, name)
    if row is None:
        raise not_found()
    return Json(row)


@router.put("/parameters/{component:name}/{vhost:name}/{name:name}")
async def put(call: Api, component: str, vhost: str, name: str) -> Answer:
    """Set a parameter."""
    found = _vhost(call, vhost)
    body = await call.body(Body)
    is_new = _find(found, component, name) is None
    if component == POLICY:
        raise bad_request("policies may not be set using this method")
    if component == LIMITS:
        try:
            limits = check_limits(body.value, VHOST_LIMITS, "value")
        except DefinitionsError as error:
            raise _invalid(str(error)) from None
        await accounts.set_vhost_limits(call.broker, found, limits)
    elif component == OPERATOR_POLICY:
        await _put_operator_policy(call, found, name, body.value)
    else:
        raise _invalid(f"component {component} not found")
    return created(is_new)


async def _put_operator_policy(call: Api, vhost: VHost, name: str, value: Any) -> None:
    call.require(ADMINISTRATOR)
    if not isinstance(value, dict) or not isinstance(value.get("definition", {}), dict):
        raise _invalid(f"expected an object for {name}")
    missing = [f'Key "{key}" not found in {name}' for key in _POLICY_KEYS if key not in value]
    if missing:
        raise _invalid("\n".join(missing))
    try:
        policy = check_policy(name, value, value["definition"], is_operator=True)
    except InvalidPolicy as error:
        raise _invalid(str(error)) from None
    await accounts.put_policy(call.broker, vhost, policy, is_operator=True)


@router.delete("/parameters/{component:name}/{vhost:name}/{name:name}")
async def delete(call: Api, component: str, vhost: str, name: str) -> Answer:
    """Delete a parameter."""
    found = _vhost(call, vhost)
    if component == POLICY:
        raise bad_request("policies may not be set using this method")
    if _find(found, component, name) is None:
        raise not_found()
    if component == LIMITS:
        await accounts.set_vhost_limits(call.broker, found, {})
    else:
        call.require(ADMINISTRATOR)
        await accounts.delete_policy(call.broker, found, name, is_operator=True)
    return done()


@router.get("/global-parameters")
async def list_global(call: Api) -> Answer:
    """List the global parameters."""
    _require(call)
    items = [{"name": name, "value": v} for name, v in call.broker.global_parameters.items()]
    return await respond(call, items, lambda row: row, key=lambda row: (row["name"],))


@router.get("/global-parameters/{name:name}")
async def show_global(call: Api, name: str) -> Answer:
    """Show a global parameter."""
    _require(call)
    if name not in call.broker.global_parameters:
        raise not_found()
    return Json({"name": name, "value": call.broker.global_parameters[name]})


@router.put("/global-parameters/{name:name}")
async def put_global(call: Api, name: str) -> Answer:
    """Set a global parameter."""
    _require(call)
    body = await call.body(Body)
    is_new = name not in call.broker.global_parameters
    await accounts.put_global_parameter(call.broker, name, body.value)
    return created(is_new)


@router.delete("/global-parameters/{name:name}")
async def delete_global(call: Api, name: str) -> Answer:
    """Delete a global parameter."""
    _require(call)
    if name not in call.broker.global_parameters:
        raise not_found()
    await accounts.delete_global_parameter(call.broker, name)
    return done()
