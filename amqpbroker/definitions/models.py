"""The objects of a definition file, as RabbitMQ 3.8 to 4.x exports them (FEATURES A14.2).

Keys that are not named here are ignored. Text is taken as it is, byte for byte, because names need
not be UTF-8. What an object means, and whether it fits the rest, is decided in ``checking``.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, StrictBool
from pydantic_core import PydanticCustomError

from amqpbroker.definitions.values import SHORT_SIZE_MAX

ANY_PATTERN: Final = ".*"


def _size(text: str) -> int | None:
    """Return the bytes of text; None if it holds a surrogate that stands for no byte."""
    try:
        return len(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        return None


def _text(value: object) -> str:
    if isinstance(value, str) and (value.isascii() or _size(value) is not None):
        return value
    raise PydanticCustomError("text", "expected text")


def _name(value: object) -> str:
    text = _text(value)
    if (_size(text) or 0) <= SHORT_SIZE_MAX:
        return text
    expected = f"expected a name of at most {SHORT_SIZE_MAX} bytes"
    raise PydanticCustomError("name", "{expected}", {"expected": expected})


def _filled_name(value: object) -> str:
    if value == "":
        raise PydanticCustomError("filled_name", "expected a name that is not empty")
    return _name(value)


def _tags(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = value.split(",")
    if isinstance(value, list) and all(isinstance(tag, str) for tag in value):
        return tuple(tag.strip() for tag in value if tag.strip())
    raise PydanticCustomError("tags", "expected a list of tags or text with commas")


def _no_list(value: object) -> object:
    return {} if value is None or value == [] else value


Text = Annotated[str, PlainValidator(_text)]
Name = Annotated[str, PlainValidator(_name)]
FilledName = Annotated[str, PlainValidator(_filled_name)]
Tags = Annotated[tuple[str, ...], PlainValidator(_tags)]
Values = Annotated[dict[str, Any], BeforeValidator(_no_list)]
"""An object; RabbitMQ writes an empty one as an empty list in places."""


class Item(BaseModel):
    """One object of a list."""

    model_config = ConfigDict(extra="ignore")


class User(Item):
    """A user. An empty hash and no password: only a certificate logs in."""

    name: FilledName
    password_hash: Text | None = None
    password: Text | None = None
    hashing_algorithm: Text | None = None
    tags: Tags = ()
    limits: Values = Field(default_factory=dict)
    publish_limits: Values = Field(default_factory=dict)
    """Rates, in a key of their own because RabbitMQ refuses limits that it does not know."""


class VHost(Item):
    """A vhost; before 3.10 description and tags stand outside of ``metadata``."""

    name: FilledName
    limits: Values = Field(default_factory=dict)
    publish_limits: Values = Field(default_factory=dict)
    """As a user's."""
    description: Any = None
    tags: Any = None
    default_queue_type: Any = None
    metadata: Values = Field(default_factory=dict)


class Permission(Item):
    """What a user may do in a vhost."""

    user: Text
    vhost: Text
    configure: Text
    write: Text
    read: Text


class TopicPermission(Item):
    """Which routing keys of a topic exchange a user may use."""

    user: Text
    vhost: Text
    exchange: Name
    write: Text
    read: Text


class OfVHost(Item):
    """An object in a vhost; a file of one vhost does not name it."""

    vhost: Text | None = None


class Exchange(OfVHost):
    """An exchange."""

    name: Name
    type: Text
    durable: StrictBool
    auto_delete: StrictBool = False
    internal: StrictBool = False
    arguments: Any = None


class Queue(OfVHost):
    """A queue; since 4.0 its type is named beside the arguments, too."""

    name: FilledName
    durable: StrictBool
    auto_delete: StrictBool = False
    type: Text | None = None
    arguments: Any = None


class Binding(OfVHost):
    """A binding."""

    source: Name
    destination: Name
    destination_type: Literal["queue", "exchange"]
    routing_key: Name = ""
    arguments: Any = None


class Policy(OfVHost):
    """A policy."""

    name: FilledName
    pattern: Text
    apply_to: Text = Field(default="all", alias="apply-to")
    definition: Values
    priority: Any = 0


class Parameter(OfVHost):
    """A parameter; operator policies and the limits of vhosts are parameters too."""

    component: Text
    name: Text
    value: Any = None


class GlobalParameter(Item):
    """A parameter of the whole broker."""

    name: Text
    value: Any = None
