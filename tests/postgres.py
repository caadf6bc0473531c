"""A real PostgreSQL server of the tests' own: its folder, socket and port are nobody else's."""

import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

USER, PASSWORD = "iot", "s3cret"


def find_programs() -> Path | None:
    """The folder of initdb and pg_ctl; Debian keeps it off the path."""
    found = [Path(path).parent for path in [shutil.which("pg_ctl")] if path]
    found += sorted((path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")), reverse=True)
    return next((folder for folder in found if (folder / "initdb").exists()), None)


class Server:
    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder = programs, folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        password = folder / "password"
        password.write_text(PASSWORD)
        # PostgreSQL refuses to run as root; who is root becomes another.
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user:
            for path in (folder, password):
                shutil.chown(path, self._user)
        self._run(
            "initdb", "--pgdata=data", f"--username={USER}", "--pwfile=password", "--encoding=UTF8",
            "--auth-local=trust", "--auth-host=scram-sha-256", "--locale=C", "--no-sync",
        )  # fmt: skip

    @property
    def version(self) -> int:
        return int((self._folder / "data" / "PG_VERSION").read_text())

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        with (self._folder / "output").open("w") as output:
            ended = subprocess.run(
                command,
                cwd=self._folder,
                user=self._user,
                extra_groups=[] if self._user else None,
                stdout=output,
                stderr=output,
                check=False,
            )
        assert ended.returncode == 0, (self._folder / "output").read_text()

    def start(self) -> None:
        # Without fsync: processes are killed here, machines are not.
        options = f"-c listen_addresses=127.0.0.1 -p {self.port} -k {self._folder} -F"
        self._run("pg_ctl", "start", "--wait", "--pgdata=data", "--log=log", f"--options={options}")

    def stop(self) -> None:
        """At once, as in a crash."""
        self._run("pg_ctl", "stop", "--wait", "--pgdata=data", "--mode=immediate")

    def execute(self, statement: str, database: str = "postgres") -> None:
        with psycopg.connect(
            host=str(self._folder), port=self.port, user=USER, dbname=database, autocommit=True
        ) as connection:
            connection.execute(statement)

    @contextmanager
    def database(self, settings: str = "") -> Iterator[str]:
        """The URL of a new database, gone afterwards."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name} {settings}")
        yield f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{name}"
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def running() -> Iterator[Server | None]:
    """None where no server is installed."""
    programs = find_programs()
    if programs is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as folder:  # a socket's path must be short
        server = Server(programs, Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()
