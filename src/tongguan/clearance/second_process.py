"""A second process of this program, and objects through the socket that joins the two.

Python runs on one core, and preparing messages is half of the work. The second process ends with
the socket, so with the process that started it, however that ends. ``ahead`` and ``beside`` say
what it does.
"""

import gc
import io
import json
import os
import pickle
import socket
import struct
import subprocess
import sys
import traceback
from collections.abc import Mapping
from typing import Any

import polars as pl
import pyarrow as pa

from tongguan import store

_BEGIN = """import json, sys
sys.path[:] = json.loads(sys.argv[1])
import tongguan.memory
from tongguan.clearance import service
getattr(service, sys.argv[2])(int(sys.argv[3]))
"""


def start(
    entry: str, environment: Mapping[str, str] | None = None
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start one; and this end of its socket.

    entry: the function of ``service`` that it runs, with the descriptor of its end. environment:
    what its environment has unless it is set already.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        words = [json.dumps(sys.path), entry, str(theirs.fileno())]
        process = subprocess.Popen(  # noqa: S603 - ourselves, with our own words
            [sys.executable, "-c", _BEGIN, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**(environment or {}), **os.environ},
            pass_fds=[theirs.fileno()],
        )
    return process, ours


def collect_seldom() -> None:
    """For a process that works on batches: what is imported stays, and a batch is a million objects
    without a cycle."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


def portable(error: Exception) -> Exception:
    """The error as it can be raised in another process, with where it came from."""
    error.add_note("".join(traceback.format_tb(error.__traceback__)))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    except Exception:
        return store.unavailable(error) or RuntimeError(f"{type(error).__name__}: {error}")
    return error


# --- objects through a socket ---

_COUNT = struct.Struct("<I")
_SIZE = struct.Struct("<Q")


class Gone(Exception):  # noqa: N818 - nothing failed: there is nobody any more
    """Nobody is at the other end."""


class _Pickler(pickle.Pickler):
    """Pickles frames as Arrow has them, beside the rest, so that they are copied as they are."""

    def reducer_override(self, thing: Any) -> Any:
        if not isinstance(thing, pl.DataFrame):
            return NotImplemented
        sink = io.BytesIO()
        thing.write_ipc_stream(sink)
        return _frame, (pickle.PickleBuffer(sink.getbuffer()),)


def _frame(data: Any) -> pl.DataFrame:
    frame = pl.from_arrow(pa.ipc.open_stream(pa.py_buffer(data)).read_all())
    assert isinstance(frame, pl.DataFrame)
    return frame


def send(channel: socket.socket, thing: Any) -> None:
    """Send an object; ``receive`` gets it there. Raises Gone."""
    beside: list[pickle.PickleBuffer] = []
    main = io.BytesIO()
    _Pickler(main, protocol=5, buffer_callback=beside.append).dump(thing)
    parts = [main.getbuffer(), *(buffer.raw() for buffer in beside)]
    try:
        channel.sendall(_COUNT.pack(len(parts)))
        for part in parts:
            channel.sendall(_SIZE.pack(part.nbytes))
            channel.sendall(part)
    except ConnectionError:
        raise Gone from None


def receive(channel: socket.socket) -> Any:
    """Wait for the next object. Raises Gone."""
    [count] = _COUNT.unpack(_read(channel, _COUNT.size))
    sizes = (_SIZE.unpack(_read(channel, _SIZE.size))[0] for _ in range(count))
    main, *beside = [_read(channel, size) for size in sizes]
    return pickle.loads(main, buffers=beside)  # noqa: S301 - from a process of ours


def _read(channel: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    left = memoryview(data)
    while left:
        try:
            count = channel.recv_into(left)
        except ConnectionError:
            count = 0
        if not count:
            raise Gone
        left = left[count:]
    return data
