"""The Typer application: one function per sub-command.

Start-up time counts (``serve`` reaches the listeners in well under a second), so this module
imports nothing but Typer; every command imports what it needs when it runs. ``log`` is a module of
its own.
"""

from __future__ import annotations

import logging
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

from amqpbroker import __version__
from amqpbroker.cli import log

if TYPE_CHECKING:
    from collections.abc import Mapping

USAGE_ERROR: Final = 2
"""Exit code when flags or settings are wrong."""

app = typer.Typer(
    help="A message broker that RabbitMQ clients use unchanged.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(log.app, name="log")


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"amqpbroker {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Take the options that belong to no sub-command."""


def _option(metavar: str, text: str, default: str | None = None) -> Any:
    """Return an option that leaves its default to ``Config`` and only shows it."""
    return typer.Option(metavar=metavar, help=text, show_default=default or False)


@app.command()
def serve(
    *,
    config: Annotated[
        Path | None, _option("FILE", "Settings: TOML, or a RabbitMQ file ending in .conf.")
    ] = None,
    data_dir: Annotated[
        Path | None, _option("DIR", "Where messages are kept.", "./amqpbroker-data")
    ] = None,
    memory: Annotated[
        bool, typer.Option("--memory", help="Keep everything in memory instead.")
    ] = False,
    host: Annotated[str | None, _option("HOST", "Address to listen on.", "127.0.0.1")] = None,
    port: Annotated[str | None, _option("PORT", "AMQP port; 0 picks a free one.", "5672")] = None,
    tls_port: Annotated[str | None, _option("PORT", "AMQP over TLS; needs a certificate.")] = None,
    tls_cert: Annotated[Path | None, _option("FILE", "Certificate chain, PEM.")] = None,
    tls_key: Annotated[Path | None, _option("FILE", "Private key, PEM.")] = None,
    tls_ca: Annotated[Path | None, _option("FILE", "CAs of client certificates, PEM.")] = None,
    management_port: Annotated[
        str | None, _option("PORT", "HTTP API port, or 'off'.", "15672")
    ] = None,
    definitions: Annotated[
        Path | None, _option("FILE", "RabbitMQ definitions to import at start.")
    ] = None,
    log_level: Annotated[
        str | None, _option("LEVEL", "debug, info, warning or error.", "info")
    ] = None,
) -> None:
    """Run the broker until SIGTERM or Ctrl-C.

    Flags win over AMQPBROKER_* variables, those over the --config file.
    Prints one line starting with "ready" when clients can connect.
    """
    if memory and data_dir is not None:
        _fail("--memory: found --data-dir too, expected one of them")
    flags: dict[str, object] = {
        "config_file": config,
        "data_dir": data_dir,
        "is_memory": memory or None,
        "host": host,
        "port": port,
        "tls_port": tls_port,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "tls_ca": tls_ca,
        "management_port": management_port,
        "definitions": definitions,
        "log_level": log_level,
    }
    raise typer.Exit(_serve(flags))


def _serve(flags: Mapping[str, object]) -> int:
    """Load the settings, run the server and return its exit code."""
    from amqpbroker.log_format import log_to_stderr

    log_to_stderr("info")
    from amqpbroker.config import ConfigError, load

    try:
        config = load(flags)
    except ConfigError as error:
        _fail(str(error))
    logging.getLogger().setLevel(config.log_level.upper())
    from amqpbroker.server import run

    return run(config)


def _fail(text: str) -> NoReturn:
    for line in text.splitlines():
        typer.echo(f"amqpbroker: error: {line}", err=True)
    raise typer.Exit(USAGE_ERROR)


def main() -> None:
    """Run the ``amqpbroker`` command."""
    app()
