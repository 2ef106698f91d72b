"""The processes of `kits up`: one server, workers, each started again when it dies, all ended together."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue

import httpx
from prefect.context import SyncClientContext
from prefect.exceptions import PrefectException
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED,
    temporary_settings,
)
from sqlalchemy.exc import SQLAlchemyError

from db.settings import Settings
from deployments.dead_runs import set_right
from deployments.home_note import Note, prefect_home, read_note
from deployments.home_server import (
    CLIENT_AUTH,
    SERVER_AUTH,
    Waiting,
    answers,
    held_alone,
    retire,
    server_environment,
    start_limit_s,
    starting,
)
from deployments.password import make_password, read_password
from deployments.up.automations import ensure_automations
from deployments.up.choices import renew_choices
from deployments.up.corrections import start_correcting
from deployments.up.kept import keeping_what_was_set
from deployments.up.limits import name_limits
from deployments.up.names import name_waiting_runs
from deployments.up.pools import CPU, GPU, ensure_pools, graphics_cards
from deployments.up.tidy import drop_needless_runs
from kits_core.errors import KitsError
from kits_core.files import write_text_atomically

ROOT = Path(__file__).parents[2]
"""The folder that holds `prefect.yaml` and the flows."""

_DASHBOARD_ASKS = "PREFECT_SERVER_UI_API_URL"
_STOP_TIMEOUT_S = 20.0
_LOOK_EVERY_S = 1.0
_LONGEST_WAIT_S = 60.0
_TIDY_EVERY_S = 15.0
_NAME_EVERY_S = 4.0
_BACKLOG = 2048
"""Requests that may wait while the server starts again: as many as uvicorn lets wait."""


@dataclass(frozen=True)
class Place:
    """Where the server answers.

    `database`: SQLAlchemy's address of Prefect's own state; None: SQLite in the home. `password`: whether the server
    asks for the home's password.
    """

    home: Path
    host: str
    port: int
    database: str | None = None
    password: bool = True

    @property
    def api_url(self) -> str:
        """The address for clients on this machine."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104 - read, not bound to
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/api"

    @property
    def auth(self) -> str | None:
        """The password, once `Machine.start_server` has made it; None for a server that asks for none."""
        return read_password(prefect_home(self.home)) if self.password else None

    def environment(self) -> dict[str, str]:
        """What the server and the workers, and with them every run, find in their environment.

        The password that the server asks for is not in it: only the server is given it.
        """
        found = server_environment(self.home, self.api_url) | {
            "PREFECT_API_URL": self.api_url,
            "KITS_HOME": str(self.home),
            "KITS_ROOT": str(ROOT),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        }
        if public := os.environ.get(_DASHBOARD_ASKS):  # through a proxy, say
            found[_DASHBOARD_ASKS] = public
        if self.database is not None:
            found["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = self.database
        found.pop(SERVER_AUTH, None)
        return found | ({CLIENT_AUTH: self.auth} if self.auth else {})

    @contextmanager
    def using(self) -> Iterator[None]:
        """Let Prefect's clients in this thread talk to the server for the block, by one connection."""
        # The server is this Prefect's own; asked here for its version, one that is away would be a `RuntimeError`.
        settings = {PREFECT_API_URL: self.api_url, PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False}
        if self.auth:
            settings[PREFECT_API_AUTH_STRING] = self.auth
        # A client reads the authorities of the web when it is made, which takes longer than most requests.
        with temporary_settings(settings), SyncClientContext():
            yield


@dataclass
class _Child:
    """A process that is to run until everything ends."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    inherits: tuple[int, ...] = ()
    process: "subprocess.Popen[bytes] | None" = None
    deaths: int = 0
    not_before: float = 0.0

    def start(self) -> None:
        with self.log.open("ab") as output:
            # In a session of its own: Ctrl-C reaches us alone, who end the rest in order.
            self.process = subprocess.Popen(  # noqa: S603 - our own modules
                self.command, env=self.environment, cwd=ROOT, stdin=subprocess.PIPE, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True, pass_fds=self.inherits,
            )  # fmt: skip

    def look(self) -> str | None:
        """Start it again if it died, not at once where it keeps dying; a line to show if it did."""
        if self.process is None or self.process.poll() is None:
            return None
        status, self.process = self.process.returncode, None
        self.deaths += 1
        wait_s = min(_LONGEST_WAIT_S, 2.0 ** (self.deaths - 1))
        self.not_before = time.monotonic() + wait_s
        return f"{self.name} ended with status {status}; started again in {wait_s:.0f} s (its log: {self.log})"

    def revive(self) -> None:
        if self.process is None and time.monotonic() >= self.not_before:
            self.start()

    def stop(self) -> None:
        if self.process is None:
            return
        if self.process.stdin:
            self.process.stdin.close()
        self.process.terminate()
        try:
            self.process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass
class Machine:
    """A running server with its workers.

    It listens itself, and its servers answer: while one that died is started again, requests wait, and no other process
    can take the port and be told the password.
    """

    place: Place
    _listener: socket.socket | None = None
    _children: list[_Child] = field(default_factory=list)
    _end: threading.Event = field(default_factory=threading.Event)
    _lines: "SimpleQueue[str]" = field(default_factory=SimpleQueue)

    def start_server(self, waits: Callable[[str], object] = lambda _: None) -> None:
        """Start the server and wait until it answers; `waits` is called every few seconds with what is waited for.

        Raises `KitsError` where it does not answer, or the port is taken.
        """
        self._listener = _listen(self.place)
        retire(self.place.home)  # commands use this one from now on
        with starting(self.place.home, waits):
            if self.place.password:
                make_password(prefect_home(self.place.home), os.environ.get(SERVER_AUTH))
            listener = self._listener.fileno()
            module = ["-m", "deployments.server_process", self.place.host, str(self.place.port), str(listener)]
            auth = {SERVER_AUTH: self.place.auth} if self.place.auth else {}
            server = self._add("server", module, auth, inherits=(listener,))
            limit_s = start_limit_s()
            tables = "" if self.place.database is None else " and to make or upgrade its tables on PostgreSQL"
            waiting = Waiting(f"the Prefect server to start{tables}", waits)
            while not answers(self.place.api_url):
                status = None if server.process is None else server.process.poll()
                if status is not None or waiting.seconds > limit_s:
                    got = "none" if status is None else f"its end with status {status}"
                    raise KitsError(
                        f"expected the Prefect server to answer at {self.place.api_url} within {limit_s:.0f} s "
                        f"(KITS_SERVER_START_MINUTES), got {got}; read {server.log}"
                    )
                waiting.a_moment()

    def furnish(self, waits: Callable[[str], object] = lambda _: None) -> None:
        """Pools, deployments and automations, made or renewed; what was set in the dashboard stays.

        `waits` is called every few seconds with what is waited for. Raises `KitsError` where they cannot be made.
        """
        with self.place.using():
            ensure_pools(graphics_cards())
            with keeping_what_was_set():
                self._deploy(waits)
            renew_choices(Settings(home=self.place.home))
            name_limits()
            ensure_automations()

    def _deploy(self, waits: Callable[[str], object]) -> None:
        waiting = Waiting("prefect deploy to make the deployments", waits)
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
            done = subprocess.Popen(
                [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
                env=self.place.environment(), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT,
            )  # fmt: skip
            while done.poll() is None:
                waiting.a_moment()
            said.seek(0)
            if done.returncode != 0:
                raise KitsError(f"expected prefect deploy --all to work in {ROOT}, got: {said.read()[-2000:]}")

    def start_workers(self) -> None:
        """A worker for the pool `cpu`, and for `gpu` one a graphics card, which it alone sees."""
        module = ["-m", "deployments.worker_process"]
        cards = graphics_cards()
        hidden = {"CUDA_VISIBLE_DEVICES": ""} if cards else {}  # what runs beside a training leaves it its card
        self._add("worker-cpu", [*module, CPU, "cpu", "0"], hidden)
        for card in range(max(1, cards)):
            seen = {"CUDA_VISIBLE_DEVICES": str(card)} if cards else {}
            self._add(f"worker-gpu-{card}", [*module, GPU, f"gpu-{card}", "1"], seen)

    def watch(self) -> Iterator[str]:
        """Look after the processes until `end`; yields what is worth a line.

        The server is asked in a thread of its own: requests to a server that died wait until it is started again, which
        happens here.
        """
        threading.Thread(target=self._look_after_runs, name="look-after-runs", daemon=True).start()
        while not self._end.wait(_LOOK_EVERY_S):
            for child in self._children:
                if line := child.look():
                    yield line
                child.revive()
            while not self._lines.empty():
                yield self._lines.get_nowait()

    def _look_after_runs(self) -> None:
        """Name and tidy the server's runs until `end`; lines that are worth it go to `watch`."""
        tidy_at = time.monotonic() + _TIDY_EVERY_S
        while not self._end.wait(_NAME_EVERY_S):
            # The server, or the catalog's, may be away for a while; the next look sets right what there is.
            with suppress(httpx.HTTPError, PrefectException, KitsError, SQLAlchemyError), self.place.using():
                while True:
                    name_waiting_runs()
                    if time.monotonic() > tidy_at:
                        tidy_at = time.monotonic() + _TIDY_EVERY_S
                        for line in self._tidy():
                            self._lines.put(line)
                    if self._end.wait(_NAME_EVERY_S):
                        return

    def _tidy(self) -> list[str]:
        settings = Settings(home=self.place.home)
        lines = set_right(settings)
        lines += [f"{name} was late, and a later one is due: cancelled" for name in drop_needless_runs()]
        start_correcting(settings)
        renew_choices(settings)
        return lines

    def end(self) -> None:
        """Let `watch` return."""
        self._end.set()

    def stop(self) -> None:
        """Workers first: one whose server is gone ignores a signal for long."""
        for child in reversed(self._children):
            child.stop()
        if self._listener is not None:
            self._listener.close()

    def _add(self, name: str, module: list[str], more: dict[str, str], inherits: tuple[int, ...] = ()) -> _Child:
        log = prefect_home(self.place.home) / f"{name}.log"
        child = _Child(name, [sys.executable, *module], self.place.environment() | more, log, inherits)
        self._children.append(child)
        child.start()
        return child


def _listen(place: Place) -> socket.socket:
    """A socket that listens at a place. Raises `KitsError` where that cannot be, at once."""
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    try:
        return socket.create_server((place.host, place.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise KitsError(
            f"{place.host}, port {place.port}: expected it to be free for the Prefect server, got: {error.strerror}; "
            "end what listens there, or choose another with --port"
        ) from error


@contextmanager
def sole_machine(place: Place) -> Iterator[None]:
    """Hold the home for the block, and note where its server answers for other commands.

    Raises `KitsError` where another `kits up` has it.
    """
    folder = prefect_home(place.home)
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / "up.json"
    with (folder / "up.lock").open("a") as file:
        if not held_alone(file):
            other = read_note(note)
            where = other.api_url.removesuffix("/api") if other else "an address that does not answer yet"
            raise KitsError(f"{place.home}: it is up already, at {where}")
        said = Note(place.api_url, os.getpid(), version("prefect"), place.password)
        write_text_atomically(note, json.dumps(asdict(said)))
        try:
            yield
        finally:
            note.unlink(missing_ok=True)


@contextmanager
def ended_by_signals(machine: Machine) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal end the machine, in order, instead of this process at once."""
    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {name: signal.signal(name, lambda *_: machine.end()) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
