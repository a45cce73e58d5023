"""Settings: a file, the environment, flags; the strongest wins.

    flags  >  AMQPBROKER_* environment  >  RABBITMQ_DEFAULT_*  >  file (--config)  >  defaults

A file is TOML with the field names below, or, when its name ends in ``.conf``, a RabbitMQ
configuration whose common keys are read (``amqpbroker.rabbitmq_conf``). Every mistake becomes one
``ConfigError`` that names the place, the key, what was found and what was expected.

Sizes are bytes, times seconds; the name's end says which.
"""

from __future__ import annotations

import difflib
import logging
import os
import socket
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import (
    Field,
    ValidationError,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from amqpbroker import rabbitmq_conf
from amqpbroker.auth_settings import AuthSettings
from amqpbroker.definitions_settings import DefinitionsSettings
from amqpbroker.setting_types import OptionalPort, Port, Words
from amqpbroker.tls_settings import TlsSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo

logger = logging.getLogger(__name__)

ENV_PREFIX: Final = "AMQPBROKER_"
SECRETS: Final = frozenset({"default_pass", "definitions_url", "tls_key_password"})
"""Fields whose value never appears in a message; a URL may have a token in it."""

EXPECTED: Final = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "path_not_file": "a file that exists",
    "path_type": "a path",
    "bool_parsing": "true or false",
}
"""Plain words for pydantic's types of error; its own text serves for the others."""

RABBITMQ_ENVIRONMENT: Final = {
    "default_user": "RABBITMQ_DEFAULT_USER",
    "default_pass": "RABBITMQ_DEFAULT_PASS",
    "default_vhost": "RABBITMQ_DEFAULT_VHOST",
}
"""Field → the variable that RabbitMQ's Docker image reads it from."""

FRAME_SIZE_MIN: Final = 4096
"""Bytes: the spec's frame-min-size; older clients propose it (FEATURES A1.9)."""

MESSAGE_SIZE_LIMIT: Final = 512 * 1024 * 1024
"""Bytes: RabbitMQ's hard cap on max_message_size (FEATURES A5.9)."""


class ConfigError(Exception):
    """The settings cannot be used; the text is meant for the person who wrote them."""


class Config(AuthSettings, DefinitionsSettings, TlsSettings):
    """All settings of one broker. Immutable; read ``load`` for where they come from."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
    )

    config_file: Path | None = None
    """The file that was read, if any."""

    # Listeners
    host: str = Field(default="127.0.0.1", min_length=1)
    port: Port = 5672
    proxy_protocol: bool = False
    """All clients of AMQP come through a proxy that says who they are (FEATURES A1.18)."""
    management_host: str = Field(default="127.0.0.1", min_length=1)
    management_port: OptionalPort = 15672

    # Storage
    data_dir: Path = Path("amqpbroker-data")
    is_memory: bool = False
    """Keep everything in memory: nothing survives the process."""
    fsync: Literal["always", "interval", "never"] = "always"
    """When a message counts as stored: on the disk, or sooner (docs/durability.md)."""
    fsync_interval_s: float = Field(default=0.2, gt=0)
    segment_size: int = Field(default=16 * 1024 * 1024, ge=64 * 1024, le=1024 * 1024 * 1024)
    body_memory_limit: int = Field(default=256 * 1024 * 1024, ge=0)
    """Bytes of stored bodies that stay in memory; the rest is read again (docs/paging.md)."""
    encryption_key_file: Path | None = None
    """Encrypts messages on the disk (docs/encryption.md)."""

    # What connection.tune proposes (FEATURES A1.8)
    heartbeat_s: int = Field(default=60, ge=0, le=65535)
    channel_max: int = Field(default=2047, ge=1, le=65535)
    frame_max: int = Field(default=131_072, ge=FRAME_SIZE_MIN, le=2**31 - 1)

    initial_frame_max: int = Field(default=8192, ge=FRAME_SIZE_MIN, le=1024 * 1024)
    """Bytes of the largest frame before connection.tune-ok: tickets and tokens (FEATURES A1.10)."""

    # Limits
    message_size_max: int = Field(default=128 * 1024 * 1024, ge=1, le=MESSAGE_SIZE_LIMIT)
    memory_limit_ratio: float = Field(default=0.6, gt=0, le=1)
    """Share of the machine's memory above which publishers wait (FEATURES A17.1)."""
    disk_free_limit: int = Field(default=50_000_000, ge=0)
    """Bytes free in the data folder below which publishers wait (FEATURES A17.2)."""
    handshake_timeout_s: float = Field(default=10.0, gt=0)
    login_failure_delay_s: float = Field(default=3.0, ge=0)
    """How long a client is left waiting after a failed login; only it waits (FEATURES A1.7)."""
    connection_max: Annotated[int, Field(ge=1)] | None = Field(default=None)
    """Clients at a time, logged in or not; None is what file descriptors allow (docs/limits.md)."""
    channel_max_per_node: Annotated[int, Field(ge=1)] | None = Field(default=None)
    """Open channels of all connections together (FEATURES A2.8)."""
    consumer_max_per_channel: Annotated[int, Field(ge=1)] | None = Field(default=None)
    default_consumer_prefetch: int = Field(default=0, ge=0, le=65535)
    """Prefetch of consumers without a basic.qos; 0 is no limit (FEATURES A6.7)."""
    consumer_timeout_s: float = Field(default=1800.0, ge=0)
    """A channel that leaves a delivery unsettled for longer is closed; 0 is never (A6.16)."""

    # What is added to incoming messages (FEATURES A5.17, A5.18)
    set_header_timestamp: Literal["off", "keep", "overwrite"] = "off"
    set_header_routing_node: Literal["off", "keep", "overwrite"] = "off"

    # Identity (FEATURES A1.4): Celery and kombu choose their qos by it
    product: str = Field(default="RabbitMQ", min_length=1)
    version: str = Field(default="3.13.7", pattern=r"^\d+\.\d+\.\d+")
    cluster_name: str = Field(default_factory=lambda: f"amqpbroker@{socket.gethostname()}")

    # The first start of an empty data folder makes this user and this vhost
    default_user: str = Field(default="guest", min_length=1)
    default_pass: str = Field(default="guest", repr=False)
    default_vhost: str = Field(default="/", min_length=1)
    default_queue_type: Literal["classic", "quorum", "stream"] | None = None
    """What new vhosts say of durable queues that name no type (FEATURES A4.12)."""
    loopback_users: Words = frozenset({"guest"})
    """Users who may log in from this machine only."""
    password_hashing_module: Literal[
        "amqpbroker_password_hashing_scrypt",
        "rabbit_password_hashing_sha256",
        "rabbit_password_hashing_sha512",
    ] = "amqpbroker_password_hashing_scrypt"
    """How new passwords are hashed (FEATURES A15.14, docs/authentication.md)."""

    log_level: Literal["debug", "info", "warning", "error", "critical"] = "info"

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources, the strongest first."""
        docker_settings = _RabbitmqEnvironment(settings_cls)
        return init_settings, env_settings, docker_settings, _FileSource(settings_cls)


class _RabbitmqEnvironment(PydanticBaseSettingsSource):
    """Reads what compose files set for RabbitMQ's Docker image (FEATURES A14.7)."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return nothing: all three are read at once, in ``__call__``."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        return {
            name: os.environ[variable]
            for name, variable in RABBITMQ_ENVIRONMENT.items()
            if os.environ.get(variable)
        }


class _FileSource(PydanticBaseSettingsSource):
    """Reads the file that the stronger sources named as ``config_file``."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return nothing: the whole file is read at once, in ``__call__``."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        path = self.current_state.get("config_file")
        return {} if path is None else read_file(Path(path))


def load(flags: Mapping[str, object] | None = None) -> Config:
    """Return the settings; ``flags`` are those given on the command line, None means not given.

    Raises ConfigError with one line per mistake.
    """
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    if given.get("data_dir") is not None:
        given.setdefault("is_memory", False)
    _warn_unknown_environment()
    try:
        return Config(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        path = given.get("config_file") or os.environ.get(f"{ENV_PREFIX}CONFIG_FILE")
        lines = [
            _explain(dict(mistake), given, Path(str(path)) if path else None)
            for mistake in error.errors(include_url=False)
        ]
        raise ConfigError("\n".join(lines)) from error


def read_file(path: Path) -> dict[str, Any]:
    """Return the settings in a TOML or ``.conf`` file by field name.

    Raises ConfigError when the file cannot be read or is no TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".conf":
            return rabbitmq_conf.read(text, str(path)).values
        return tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except rabbitmq_conf.ConfError as error:
        raise ConfigError(str(error)) from error
    except ValueError as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from error


def _explain(mistake: dict[str, Any], flags: Mapping[str, object], path: Path | None) -> str:
    """Return one mistake as ``place: key: found …, expected …``."""
    if not mistake["loc"]:
        return str(mistake["msg"]).removeprefix("Value error, ")
    field = str(mistake["loc"][0])
    place = _place(field, flags, path)
    if mistake["type"] == "extra_forbidden":
        close = difflib.get_close_matches(field, Config.model_fields, n=1)
        return f"{place}: unknown key" + (f", did you mean '{close[0]}'?" if close else "")
    value = mistake["input"]
    found = repr(str(value) if isinstance(value, Path) else value)
    if field in SECRETS:
        found = "a value that is not shown here"
    expected = EXPECTED.get(mistake["type"], str(mistake["msg"]).removeprefix("Input should be "))
    return f"{place}: found {found}, expected {expected[:1].lower()}{expected[1:]}"


def _place(field: str, flags: Mapping[str, object], path: Path | None) -> str:
    """Return where a field's value came from, by the order of ``load``."""
    if field in flags:
        return "--config" if field == "config_file" else f"--{field.replace('_', '-')}"
    for variable in (f"{ENV_PREFIX}{field.upper()}", RABBITMQ_ENVIRONMENT.get(field, "")):
        if os.environ.get(variable):
            return variable
    if path is not None and path.suffix == ".conf":
        return rabbitmq_conf.read(path.read_text(encoding="utf-8"), str(path)).place(field)
    return f"{path}: {field}" if path is not None else field


def _warn_unknown_environment() -> None:
    for variable in os.environ:
        if not variable.startswith(ENV_PREFIX):
            continue
        field = variable.removeprefix(ENV_PREFIX).lower()
        if field not in Config.model_fields:
            logger.warning("%s is set but is no setting of amqpbroker", variable)
