"""Secret keys of an installation: from the environment, or from a file its owner alone reads."""

import base64
import binascii
import os
import secrets
import stat
from pathlib import Path

from tongguan.store.home import make_home
from tongguan.store.trouble import Unavailable, environment

KEY_BYTES = 32


def secret_key(home: Path, kind: str) -> bytes:
    """The key of $TONGGUAN_<KIND>_KEY (64 hex digits or base64), else of ``home/<kind>.key``.

    The file is made (mode 0600) with a random key if it is not there. Raises Unavailable if the
    key cannot be read, is not a key, or others may read its file.
    """
    variable = f"TONGGUAN_{kind.upper()}_KEY"
    if given := os.environ.get(variable):
        return _decode(given, kind, variable)
    path = home / f"{kind}.key"
    with environment():
        if not path.exists():
            make_home(home)
            _make_key(path)
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise Unavailable(f"others may read the {kind} key: chmod 600 {path}")
        return _decode(path.read_text("ascii"), kind, str(path))


def _decode(text: str, kind: str, where: str) -> bytes:
    text = text.strip()
    try:
        key = (
            bytes.fromhex(text)
            if len(text) == 2 * KEY_BYTES
            else base64.b64decode(text, validate=True)
        )
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise Unavailable(
            f"{where} is no {kind} key: {KEY_BYTES} bytes as hex or base64 are wanted"
        )
    return key


def _make_key(path: Path) -> None:
    """Makes the key file whole or not at all; of two processes, one wins and both use its key."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)
        except FileExistsError:
            return
    finally:
        fresh.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
