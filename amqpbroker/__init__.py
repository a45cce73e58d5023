"""A message broker that RabbitMQ clients use unchanged.

Public names are loaded when they are first asked for, so that importing one submodule
(or starting the command line) never pays for the rest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from amqpbroker.config import Config as Config
    from amqpbroker.config import ConfigError as ConfigError

__version__ = "0.1.0"

_HOMES: Final = {"Config": "amqpbroker.config", "ConfigError": "amqpbroker.config"}

__all__ = ["Config", "ConfigError", "__version__"]


def __getattr__(name: str) -> object:
    """Return a public name from its module (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
