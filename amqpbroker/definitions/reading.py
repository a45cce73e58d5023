"""The bytes of a definition file → its lists, and each object → its model."""

from __future__ import annotations

import json
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from amqpbroker.definitions import models
from amqpbroker.definitions.exceptions import DefinitionsError, mismatch, shown

M = TypeVar("M", bound=models.Item)
Document = dict[str, list[Any]]
"""The lists of a file by their keys; their items are still what JSON gave."""

MODELS: Final[dict[str, type[models.Item]]] = {
    "vhosts": models.VHost,
    "users": models.User,
    "permissions": models.Permission,
    "topic_permissions": models.TopicPermission,
    "parameters": models.Parameter,
    "global_parameters": models.GlobalParameter,
    "policies": models.Policy,
    "exchanges": models.Exchange,
    "queues": models.Queue,
    "bindings": models.Binding,
}
"""Keys of a file in the order in which they are checked: what is referred to comes first."""
_SECRETS: Final = frozenset({"password", "password_hash"})


def read_document(data: bytes) -> Document:
    """Return the lists of a definition file; a byte order mark is fine, an absent list is empty.

    RabbitMQ writes names that are not UTF-8 byte by byte, so such bytes are taken as they are.
    Raises :class:`DefinitionsError`.
    """
    try:
        text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
        values = json.loads(text, parse_constant=_refuse_constant, object_hook=_let_others_run)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise DefinitionsError(
            "", f"expected JSON, found an error in {place}: {error.msg}"
        ) from None
    except RecursionError:
        raise DefinitionsError("", "expected JSON, found too deep a nesting") from None
    except ValueError as error:
        raise DefinitionsError("", f"expected JSON, found an error: {error}") from None
    if not isinstance(values, dict):
        raise mismatch("", "an object with keys such as queues", values)
    document: Document = {}
    for key in MODELS:
        items = values.get(key)
        if not isinstance(items, list | None):
            raise mismatch(key, "a list", items)
        document[key] = items or []
    return document


def _let_others_run(value: dict[str, Any]) -> dict[str, Any]:
    """Return an object as it is.

    It is read in a thread, by C code that keeps all others waiting until it comes to some Python.
    """
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


def read_item(model: type[M], value: object, path: str) -> M:
    """Return an object of a list.

    Raises :class:`DefinitionsError` for the first mistake in it.
    """
    if not isinstance(value, dict):
        raise mismatch(path, "an object", value)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _explain(error, path) from None


def _explain(error: ValidationError, path: str) -> DefinitionsError:
    mistake = error.errors(include_url=False, include_context=False)[0]
    place = [part for part in mistake["loc"] if not str(part).startswith("function-")]
    here = path + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    if mistake["type"] == "missing":
        return DefinitionsError(here, "expected a value, found no such key")
    expected = mistake["msg"].replace("Input should be", "expected")
    expected = expected.replace("a valid dictionary", "an object").replace("a valid ", "a ")
    is_secret = bool(_SECRETS.intersection(map(str, place)))
    found = "something else, not shown" if is_secret else shown(mistake["input"])
    return DefinitionsError(here, f"{expected}, found {found}")
