"""Senders that cost next to nothing: requests made beforehand, over kept connections, one process.

Each connection sends its requests one after the other and waits for each answer; one that is told
to wait (429) is sent again after a moment. While more than so many messages wait to be recorded
none begins: so taking in goes on beside recording, as it does in a window at work, and not
before it. Started by ``gateway.py``: reads its order from standard input, says ``ready``, begins
when told to, and ends with the CPU seconds it used.
"""

import pickle
import selectors
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg

PAUSE = 0.05
WAITING = "SELECT count(*) FROM submission WHERE state = 'waiting'"


@dataclass(slots=True)
class Connection:
    """One sender. left: requests to be sent; begun: of the first of them, what is still unsent."""

    socket: socket.socket
    left: deque[bytes]
    begun: memoryview = field(default_factory=lambda: memoryview(b""))
    got: bytes = b""
    due: float = 0.0


class Senders:
    """A process that sends; see above."""

    def __init__(
        self, url: str, port: int, queues: Sequence[Sequence[bytes]], most_waiting: int
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.sending"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        pickle.dump((url, port, queues, most_waiting), self._process.stdin)
        self._process.stdin.flush()
        assert self._process.stdout.readline() == b"ready\n"

    def send(self) -> float:
        """Send all and wait for the answers; the CPU seconds of it."""
        assert self._process.stdout is not None
        told, _ = self._process.communicate(b"go\n")
        assert self._process.returncode == 0
        return float(told)


def send_all(url: str, port: int, queues: Sequence[Sequence[bytes]], most_waiting: int) -> None:
    """Send what each connection has, all connections at once. url: of the database."""
    with selectors.DefaultSelector() as selector, psycopg.connect(url, autocommit=True) as conn:
        looked = 0.0
        for requests in queues:
            made = socket.create_connection(("127.0.0.1", port))
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.setblocking(False)
            one = Connection(made, deque(requests))
            one.begun = memoryview(one.left[0])
            selector.register(made, selectors.EVENT_READ | selectors.EVENT_WRITE, one)
        while selector.get_map():
            now = time.monotonic()
            if now > looked + PAUSE:
                looked = now
                row = conn.execute(WAITING).fetchone()
                if row is not None and row[0] > most_waiting:
                    _pause(selector, now + PAUSE)
            for key, events in selector.select(PAUSE):
                one = key.data
                if events & selectors.EVENT_WRITE:
                    if one.due > time.monotonic():
                        time.sleep(0.005)
                        continue
                    one.begun = one.begun[one.socket.send(one.begun) :]
                    if not one.begun:
                        selector.modify(one.socket, selectors.EVENT_READ, one)
                elif events & selectors.EVENT_READ:
                    _hear(selector, one)


def _pause(selector: selectors.BaseSelector, until: float) -> None:
    """Let no connection begin another request before a time."""
    for key in selector.get_map().values():
        one = key.data
        if one.left and len(one.begun) == len(one.left[0]):
            one.due = until


def _hear(selector: selectors.BaseSelector, one: Connection) -> None:
    piece = one.socket.recv(1 << 16)
    assert piece, "the gateway closed a connection"
    one.got += piece
    head, end, body = one.got.partition(b"\r\n\r\n")
    length = next(
        (
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        ),
        0,
    )
    if not end or len(body) < length:
        return
    status = int(head[9:12])
    assert status in (202, 429), one.got
    one.got = b""
    if status == 202:
        one.left.popleft()
    else:
        one.due = time.monotonic() + PAUSE
    if not one.left:
        selector.unregister(one.socket)
        one.socket.close()
        return
    one.begun = memoryview(one.left[0])
    selector.modify(one.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, one)


if __name__ == "__main__":
    order = pickle.load(sys.stdin.buffer)
    print("ready", flush=True)
    sys.stdin.buffer.readline()
    began = time.process_time()
    send_all(*order)
    print(time.process_time() - began)
