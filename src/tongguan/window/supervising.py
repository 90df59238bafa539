"""``tongguan up``: gateway and workers as processes of their own, looked after until it is stopped.

A process that ends is started again, after a pause that grows while it keeps ending; so is the
embedded database. SIGHUP replaces them one after the other: the new gateway answers on the same
port before the old one stops taking. SIGTERM stops the gateway first, then the workers, then the
database.
"""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tongguan import store
from tongguan.window.journal import journal

PROGRAM = (sys.executable, "-c", "from tongguan.cli import main; main()")
FIRST_PAUSE, LONGEST_PAUSE, STEADY = 0.2, 5.0, 10.0
"""Seconds before a process that ended is started again, and after which it counts as steady."""
READY_SECONDS = 60.0
STOP_SECONDS = 60.0
BLIND_SECONDS = 5.0
"""Given to a new gateway that answers nobody without a certificate."""
LOOK_SECONDS = 0.5


@dataclass(slots=True)
class Part:
    """One of the processes. words: its command."""

    name: str
    words: Sequence[str]
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    since: float = 0.0
    pause: float = FIRST_PAUSE
    due: float = field(default=0.0)

    def start(self) -> None:
        self.since = time.monotonic()
        command = [*PROGRAM, *self.words]
        # A group of its own: a ^C in the terminal stops us, and we stop it in order.
        self.process = subprocess.Popen(  # noqa: S603 - our own words
            command, env=self.environment, stdin=subprocess.DEVNULL, start_new_session=True
        )

    def look(self) -> None:
        """Start it again if it has ended and its pause is over."""
        if self.process is None or self.process.poll() is None:
            return
        now = time.monotonic()
        if not self.due:
            steady = now - self.since > STEADY
            self.pause = FIRST_PAUSE if steady else min(LONGEST_PAUSE, self.pause * 2)
            self.due = now + self.pause
            journal.warning("ended", part=self.name, status=self.process.returncode)
        if now >= self.due:
            self.due = 0.0
            self.start()

    def stop(self) -> None:
        """Ask it to finish and wait; one that does not is killed."""
        stop(self.process)


def stop(process: subprocess.Popen[bytes] | None) -> None:
    """Ask a process to finish and wait; one that does not is killed."""
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Supervisor:
    """Looks after a gateway and workers. ready: called once the gateway answers."""

    def __init__(
        self,
        database: store.Database,
        reopen: Callable[[], store.Database],
        gateway: Part,
        workers: Sequence[Part],
        address: tuple[str, int],
        secure: bool,
    ) -> None:
        self._database, self._reopen = database, reopen
        self._gateway, self._workers = gateway, list(workers)
        self._address, self._secure = address, secure
        self._stop, self._renew = threading.Event(), threading.Event()

    def run(self, ready: Callable[[], None]) -> None:
        """Until SIGTERM or SIGINT. Raises store.Unavailable if the gateway never answers."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        signal.signal(signal.SIGHUP, lambda *_: self._renew.set())
        try:
            for part in (self._gateway, *self._workers):
                part.start()
            self._await_gateway()
            if not self._stop.is_set():
                ready()
            while not self._stop.wait(0.1):
                self._look()
        finally:
            self._gateway.stop()
            for part in self._workers:
                part.stop()
            self._database.close()

    def _look(self) -> None:
        if self._renew.is_set():
            self._renew.clear()
            self._replace()
        for part in (self._gateway, *self._workers):
            part.look()
        now = time.monotonic()
        if now - getattr(self, "_looked", 0.0) > LOOK_SECONDS:
            self._looked = now
            self._look_at_database()

    def _look_at_database(self) -> None:
        try:
            self._database.connect().close()
        except store.Unavailable as failed:
            journal.warning("database away", why=str(failed))
            try:
                again = self._reopen()
            except store.Unavailable as still:
                journal.error("database away", why=str(still))
                return
            self._database.close()
            self._database = again
            journal.info("database back")

    def _await_gateway(self) -> None:
        end = time.monotonic() + READY_SECONDS
        while not self._stop.wait(0.05):
            if health(self._address, "/health/ready", self._secure) is not None:
                return
            if time.monotonic() > end:
                raise store.Unavailable(
                    f"the gateway did not answer within {READY_SECONDS:.0f} s; its log says why"
                )
            self._gateway.look()

    def _replace(self) -> None:
        """New processes for old ones, each old one stopped once its successor is there."""
        journal.info("renews")
        for part in (self._gateway, *self._workers):
            old = part.process
            part.start()
            assert part.process is not None
            if part is self._gateway:
                self._await_process(part.process)
            stop(old)

    def _await_process(self, process: subprocess.Popen[bytes]) -> None:
        """Until the new gateway itself answers, and not the one beside it on the same port."""
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end and process.poll() is None and not self._stop.wait(0.05):
            told = health(self._address, "/health/ready", self._secure)
            if told is not None and told.get("process") == process.pid:
                return
            if told == {} and time.monotonic() > end - READY_SECONDS + BLIND_SECONDS:
                return


def health(address: tuple[str, int], path: str, secure: bool = False) -> dict[str, Any] | None:
    """What a gateway says of its health; None if nothing that is well answers there.

    {} of one that answers nobody without a certificate (mTLS), and so not us.
    """
    host, port = address
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared
    try:
        connection = _connection(host, port, secure)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            told = json.loads(response.read())
        finally:
            connection.close()
    except ssl.SSLError:
        return {}
    except (OSError, http.client.HTTPException, ValueError):
        return None
    return told if response.status == 200 and isinstance(told, dict) else None


def _connection(host: str, port: int, secure: bool) -> http.client.HTTPConnection:
    if not secure:
        return http.client.HTTPConnection(host, port, timeout=2)
    # Our own gateway at our own address, under whatever name its certificate has.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=2, context=context)


def check_port(address: tuple[str, int], window: str, secure: bool) -> None:
    """That a port is free, or served by this very window, whose gateways share it.

    Two windows that shared a port would each get some of the other's requests. Raises
    store.Unavailable.
    """
    told = health(address, "/health/live", secure)
    if told is not None and told.get("window", window) == window:
        return
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        try:
            # Without SO_REUSEPORT: whoever is there is not ours.
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
        except OSError as problem:
            raise store.Unavailable(
                f"port {port} of {host} cannot be used ({problem.strerror}): choose another one "
                "with --port"
            ) from problem


def environment(url: str) -> dict[str, str]:
    """The environment of the processes: the database by its address, which no list of processes
    shows. Unless told otherwise, columns are worked on by one thread: most are short."""
    named = {"DATABASE_URL": url, "TONGGUAN_PARENT": str(os.getpid())}
    return {"POLARS_MAX_THREADS": "1"} | os.environ | named
