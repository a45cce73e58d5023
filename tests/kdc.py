"""A Kerberos realm of a test's own: a real KDC on a free port, all of it in one folder."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.helpers import DEADLINE_S, START_DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REALM: Final = "EXAMPLE.TEST"
_SEARCHED: Final = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
_TOOLS: Final = {
    name: shutil.which(name, path=_SEARCHED)
    for name in ("krb5kdc", "kdb5_util", "kadmin.local", "kinit")
}
_CLIENT: Final = """\
[libdefaults]
  default_realm = {realm}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
[realms]
  {realm} = {{
    kdc = 127.0.0.1:{port}
  }}
"""
_SERVER: Final = """\
[kdcdefaults]
  kdc_listen = 127.0.0.1:{port}
  kdc_tcp_listen = 127.0.0.1:{port}
[realms]
  {realm} = {{
    database_name = {folder}/principal
    key_stash_file = {folder}/stash
    acl_file = {folder}/acl
  }}
"""


def missing() -> str | None:
    """Return what this machine lacks for a realm, and for clients and servers of it."""
    lacks = [name for name, path in _TOOLS.items() if path is None]
    if importlib.util.find_spec("gssapi") is None:
        lacks.append("the package gssapi")
    return f"needs {', '.join(lacks)}" if lacks else None


@dataclass(frozen=True)
class Realm:
    """A realm whose KDC runs; ``environment`` has what a process needs to belong to it."""

    folder: Path
    environment: dict[str, str]

    def add_user(self, name: str, password: str) -> None:
        """Make a principal that can log in."""
        self._admin(f"addprinc -pw {password} {name}")

    def add_keys(self, principal: str, keytab: Path) -> None:
        """Make a principal of a service, or new keys for it, and write them to a file."""
        self._admin(f"addprinc -randkey {principal}", f"ktadd -k {keytab} {principal}")

    def tickets_of(self, name: str, password: str) -> dict[str, str]:
        """Log in to the realm; return the environment of a process that is logged in."""
        environment = {
            **self.environment,
            "KRB5CCNAME": f"FILE:{self.folder / name.replace('/', '-')}.cache",
        }
        _run("kinit", name, environment=environment, text=password)
        return environment

    def _admin(self, *commands: str) -> None:
        _run("kadmin.local", environment=self.environment, text="\n".join(commands))


@contextlib.contextmanager
def run_realm(folder: Path) -> Iterator[Realm]:
    """Make a realm and run its KDC until the end of the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    files = {"krb5.conf": _CLIENT, "kdc.conf": _SERVER, "acl": ""}
    for name, text in files.items():
        (folder / name).write_text(text.format(realm=REALM, port=port, folder=folder))
    environment = {
        "KRB5_CONFIG": str(folder / "krb5.conf"),
        "KRB5_KDC_PROFILE": str(folder / "kdc.conf"),
        "KRB5RCACHEDIR": str(folder),
    }
    _run("kdb5_util", "create", "-s", "-P", "master", environment=environment)
    command = [_path("krb5kdc"), "-n"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    ) as process:
        assert process.stderr is not None
        guard = threading.Timer(START_DEADLINE_S, process.kill)
        guard.start()
        try:
            assert "starting" in process.stderr.readline(), "the KDC does not start"
            yield Realm(folder, environment)
        finally:
            guard.cancel()
            process.kill()


def _path(tool: str) -> str:
    path = _TOOLS[tool]
    assert path is not None
    return path


def _run(tool: str, *words: str, environment: dict[str, str], text: str = "") -> None:
    done = subprocess.run(
        [_path(tool), *words],
        env={**os.environ, **environment},
        input=text,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, f"{tool}: {done.stderr}"
