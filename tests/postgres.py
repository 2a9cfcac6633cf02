"""A PostgreSQL server for the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))[-1:]
PG_CTL = shutil.which("pg_ctl") or next(map(str, _PROGRAMS), None)
"""The path to pg_ctl, or None if this machine has no server."""
_USER = "postgres" if os.geteuid() == 0 else None
"""The user who runs the server, which refuses to run as root."""


class PostgresServer:
    """A cluster in a folder, reached through a socket in that folder."""

    def __init__(self, folder: Path, *, durable: bool) -> None:
        self._folder, self._durable = folder, durable
        self._numbers = count()
        self._pg_ctl("initdb", "-o", "--auth=trust --username=pixsearch --no-sync --encoding=UTF8")
        self.start()

    def start(self) -> None:
        fsync = "on" if self._durable else "off"
        options = f"-c listen_addresses='' -c unix_socket_directories={self._folder} -c fsync={fsync}"
        self._pg_ctl("start", "-w", "-o", options, "-l", str(self._folder / "log"))

    def stop(self, mode: str = "fast") -> None:
        """Stop the server. The mode `immediate` is like a crash."""
        self._pg_ctl("stop", "-w", "-m", mode)

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://pixsearch@/{database}?host={self._folder}"

    def new_database(self, options: str = "", setting: str | None = None) -> str:
        """Create an empty database with options for CREATE DATABASE and with a setting, and return its URL."""
        name = f"photos{next(self._numbers)}"
        with psycopg.connect(f"user=pixsearch host={self._folder} dbname=postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} {options}")
            if setting is not None:
                connection.execute(f"ALTER DATABASE {name} SET {setting}")
        return self.url(name)

    def _pg_ctl(self, *arguments: str) -> None:
        assert PG_CTL is not None
        command = [PG_CTL, "-D", str(self._folder / "data"), *arguments]
        subprocess.run(command, check=True, user=_USER, stdout=subprocess.DEVNULL, cwd="/")


@contextmanager
def postgres_server(*, durable: bool = False) -> Iterator[PostgresServer]:
    """Run a server. Unless it is `durable`, its data may be lost if the machine crashes."""
    with tempfile.TemporaryDirectory(prefix="pixsearch-postgres-") as folder:
        if _USER is not None:
            shutil.chown(folder, _USER)
        server = PostgresServer(Path(folder), durable=durable)
        try:
            yield server
        finally:
            server.stop("immediate")
