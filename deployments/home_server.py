"""The Prefect server of a home: one for all its commands, which outlives each of them for a while.

A command that finds one uses it; the first one starts it. They coordinate by locks in the home's folder `prefect/`,
which the operating system releases however a process ends:

- `server.lock` is held by the server for as long as it is the home's. `server.json` says where it answers; without the
  lock it says nothing. `up.lock` and `up.json` are the same for `kits up`, whose server comes first.
- `users.lock` is shared by all commands that use the server, which ends when nobody has held it for some minutes.
- `alone.lock` is shared by the same commands, once each has begun. A command that gets it exclusively knows that no
other command is running, so that it can find what killed ones left behind. Meanwhile the others wait.

`retire` asks the server to end as soon as nobody uses it; so does `kits up`, by its lock.
"""

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import IO

import httpx

from db.settings import current_settings
from deployments.home_note import Note, auth_string, prefect_home, read_note
from deployments.password import make_password, read_password
from kits_core.errors import KitsError
from kits_core.files import write_text_atomically

HOST = "127.0.0.1"
SERVER_AUTH, CLIENT_AUTH = "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"
"""The settings with the password: of Prefect's server, and of its clients."""
_RETIRES_WITHIN_S = 5.0
_LOOK_EVERY_S = 0.5
_STATES_EVERY_S = 20.0


def answers(api_url: str) -> bool:
    """Whether a Prefect server answers its health check."""
    try:
        return httpx.get(f"{api_url}/health", timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def server_environment(home: Path, api_url: str) -> dict[str, str]:
    """The environment of a server that works offline and whose dashboard finds its API on any port."""
    return os.environ | {
        "PREFECT_HOME": str(prefect_home(home)),
        "PREFECT_SERVER_UI_API_URL": api_url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "DO_NOT_TRACK": "1",
    }


@contextmanager
def home_server(
    home: Path,
    idle_s: float,
    *,
    meanwhile: Callable[[], object] = lambda: None,
    alone: Callable[[str], object] = lambda _: None,
    waits: Callable[[str], object] = lambda _: None,
) -> Iterator[str]:
    """Use the home's server for the block, started where there is none; yields the address of its API.

    Args:
        home: the folder that holds everything.
        idle_s: how long a server that is started here waits for the next command before it ends.
        meanwhile: called once, while a server starts or at once.
        alone: called with the address where neither another command nor `kits up` is at work on the home; other
            commands wait until this is done.
        waits: called every few seconds with what is waited for.

    Raises `KitsError` for a server that does not come up, or does not answer.
    """
    folder = prefect_home(home)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "users.lock").open("a") as users, (folder / "alone.lock").open("a") as others:
        # The server holds this lock exclusively for an instant, when it checks whether it is used.
        fcntl.flock(users, fcntl.LOCK_SH)
        is_alone = _taken_alone(others)
        if not is_alone:
            _share(others, waits)
        api_url = running_server(home, waits)
        if api_url is None:
            api_url = _started(home, idle_s, meanwhile, waits)
        else:
            meanwhile()
        if is_alone and not is_held(folder / "up.lock"):
            alone(api_url)
        fcntl.flock(others, fcntl.LOCK_SH)
        yield api_url


def running_server(home: Path, waits: Callable[[str], object] = lambda _: None) -> str | None:
    """The address of the server of `kits up`, or else of the home's own, as soon as it answers; None without one.

    Raises `KitsError` for one that does not answer.
    """
    folder = prefect_home(home)
    return _answering(folder, "up", waits) or _answering(folder, "server", waits)


def state_of(home: Path, flow_run_id: str) -> str | None:
    """The type of a flow run's state, as `RUNNING`, by a server of the home that runs now; None where none can say."""
    folder = prefect_home(home)
    for name in ("up", "server"):
        note = read_note(folder / f"{name}.json")
        if note is None or not is_held(folder / f"{name}.lock"):
            continue  # another program may have its port now, and must not get the password
        user, _, password = (auth_string(home, note.api_url) or "").partition(":")
        with suppress(httpx.HTTPError, ValueError, KeyError):
            asked = f"{note.api_url}/flow_runs/{flow_run_id}"
            answer = httpx.get(asked, auth=(user, password) if user else None, timeout=5, trust_env=False)
            return str(answer.raise_for_status().json()["state_type"])
    return None


def retire(home: Path) -> None:
    """Ask the home's server, if there is one, to end as soon as nobody uses it. New commands do not use it any more."""
    folder = prefect_home(home)
    (folder / "server.json").unlink(missing_ok=True)
    since = time.monotonic()
    while is_held(folder / "server.lock") and time.monotonic() - since < _RETIRES_WITHIN_S:
        time.sleep(0.05)


@contextmanager
def starting(home: Path, waits: Callable[[str], object] = lambda _: None) -> Iterator[None]:
    """Hold the right to start a server of a home: two servers that create tables in one database disturb each other."""
    waiting = Waiting("another command of this home, which starts a Prefect server", waits)
    with (prefect_home(home) / "start.lock").open("a") as file:
        while not _taken_alone(file):
            waiting.a_moment()
        yield


def is_held(path: Path) -> bool:
    """Whether a process holds a lock for itself alone."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def held_alone(file: IO[str]) -> bool:
    """Whether this process holds a file's lock alone from now on; others may look for an instant whether it is held."""
    for _ in range(100):
        if _taken_alone(file):
            return True
        time.sleep(0.02)
    return False


def _taken_alone(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _share(file: IO[str], waits: Callable[[str], object]) -> None:
    waiting = Waiting("another command of this home, which starts its Prefect server", waits)
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting.a_moment()
        else:
            return


def _answering(folder: Path, name: str, waits: Callable[[str], object]) -> str | None:
    """The address of a server as soon as it answers; None where there is none, or one of another release."""
    lock, path = folder / f"{name}.lock", folder / f"{name}.json"
    waiting = Waiting("this home's Prefect server to answer", waits)
    while is_held(lock):
        note = read_note(path)
        if name == "server" and note is not None and (note.prefect != version("prefect") or not note.password):
            path.unlink(missing_ok=True)  # it retires
        elif note is not None and answers(note.api_url):
            return note.api_url
        if waiting.seconds > (limit_s := start_limit_s()):
            where = f"{note.api_url}, process {note.pid}" if note else "one that starts"
            raise KitsError(
                f"the Prefect server of this home ({where}): expected an answer within {limit_s:.0f} s "
                "(KITS_SERVER_START_MINUTES), got none; end it, then run this again; its log is "
                f"{folder / 'server.log'}"
            )
        waiting.a_moment()
    return None


def _started(home: Path, idle_s: float, meanwhile: Callable[[], object], waits: Callable[[str], object]) -> str:
    folder = prefect_home(home)
    log = folder / "server.log"
    with starting(home, waits):
        if api_url := running_server(home, waits):
            meanwhile()
            return api_url
        make_password(folder)
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", "deployments.home_server", str(home), str(idle_s)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=Path(__file__).parents[1],
                start_new_session=True,  # neither Ctrl-C nor a closed terminal reaches it
            )  # fmt: skip
        meanwhile()
        waiting = Waiting("this home's Prefect server to start", waits)
        while waiting.seconds < (limit_s := start_limit_s()) and process.poll() is None:
            note = read_note(folder / "server.json")
            if note is not None and note.pid == process.pid and answers(note.api_url):
                return note.api_url
            waiting.a_moment()
        status = process.poll()
        if status is None:
            process.kill()
            process.wait()
    got = "got none" if status is None else f"it ended with status {status}"
    raise KitsError(
        f"this home's Prefect server: expected an answer within {limit_s:.0f} s (KITS_SERVER_START_MINUTES), {got}; "
        f"read {log}"
    )


def start_limit_s() -> float:
    """How long a server may take to start, in seconds."""
    return 60 * current_settings().server_start_minutes


class Waiting:
    """A wait that may take long, and shows a message every 20 s."""

    def __init__(self, what: str, waits: Callable[[str], object]) -> None:
        self._what, self._waits = what, waits
        self._since, self._said = time.monotonic(), 0

    @property
    def seconds(self) -> float:
        """How long it is."""
        return time.monotonic() - self._since

    def a_moment(self) -> None:
        """Wait a tenth of a second, and say what is waited for where 20 s more have passed."""
        time.sleep(0.1)
        if (due := int(self.seconds / _STATES_EVERY_S)) > self._said:
            self._said = due
            self._waits(f"waits for {self._what}, {self.seconds:.0f} s so far")


# === The server's own process ===


def main(home: Path, idle_s: float) -> None:
    """Be the home's server until nobody has used it for `idle_s` seconds; ends at once where there is one already."""
    folder = prefect_home(home)
    own = (folder / "server.lock").open("a")
    if not held_alone(own):
        raise SystemExit(f"{folder}: another server of this home is there already")
    listener = socket.socket()
    listener.bind((HOST, 0))
    port: int = listener.getsockname()[1]
    note = Note(f"http://{HOST}:{port}/api", os.getpid(), version("prefect"), password=True)
    os.environ.update(server_environment(home, note.api_url) | {SERVER_AUTH: read_password(folder)})
    from deployments.server_process import serve  # noqa: PLC0415 - Prefect reads its environment as it is imported

    try:
        serve(HOST, port, home, lambda started: _wait_until_idle(folder, note, own, idle_s, started), [listener])
    finally:
        _forget(folder, note)


def _wait_until_idle(folder: Path, note: Note, own: IO[str], idle_s: float, has_started: Callable[[], bool]) -> None:
    while not has_started():
        time.sleep(0.05)
    write_text_atomically(folder / "server.json", json.dumps(asdict(note)))
    used, retired = time.monotonic(), False
    with (folder / "users.lock").open("a") as users:
        while True:
            time.sleep(_LOOK_EVERY_S)
            if not retired and (read_note(folder / "server.json") != note or is_held(folder / "up.lock")):
                retired = True
                _forget(folder, note)
                own.close()  # another one may take its place, also while someone still uses this one
            if not _taken_alone(users):
                used = time.monotonic()
            elif retired or time.monotonic() - used >= idle_s:
                # While no command can start: the next one finds neither note nor lock, and starts another server.
                _forget(folder, note)
                own.close()
                return
            else:
                fcntl.flock(users, fcntl.LOCK_UN)


def _forget(folder: Path, note: Note) -> None:
    if read_note(folder / "server.json") == note:
        (folder / "server.json").unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
