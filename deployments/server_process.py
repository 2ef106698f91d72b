"""The process of a Prefect server of ours.

Prefect's own embedded server outlives a killed parent and then holds its port and database for ever. Run as
`python -m deployments.server_process HOST PORT [FD]`, this one ends when its standard input closes, which the operating
system does together with the process that started it. `FD`: a socket of that process which listens there already.
`deployments.home_server` is the other way to run it.
"""

import gc
import os
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from db.settings import Settings
from deployments.gate import Gate, own_origins
from deployments.pages import Pages

_GRACE_S = 10.0


def main(host: str, port: int, listener: int | None = None) -> None:
    """Serve until standard input closes or a signal asks to stop. `listener`: descriptor of a socket that listens."""
    sockets = None if listener is None else [socket.socket(fileno=listener)]
    serve(host, port, Settings().home, _wait_for_the_parent, sockets)


def serve(
    host: str,
    port: int,
    home: Path,
    wait_for_the_end: Callable[[Callable[[], bool]], None],
    sockets: list[socket.socket] | None = None,
) -> None:
    """Serve until `wait_for_the_end` returns, or a signal asks to stop.

    `home`: whose pages it shows (`deployments.pages`). `wait_for_the_end` runs in a thread, and is given a function
    that says whether the server has begun to answer. `sockets`: bound ones to listen on, instead of `host` and `port`.
    Pages of other sites are not answered (`deployments.gate`).
    """
    origins = own_origins(host, port, os.environ.get("PREFECT_SERVER_UI_API_URL"))
    os.environ["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] = ",".join(origins)  # Prefect's own setting allows every page
    gc.disable()  # it takes a fifth of the time of the imports, which leave no garbage
    import uvicorn  # noqa: PLC0415
    from prefect.server.api.server import create_app  # noqa: PLC0415
    from prefect.settings import PREFECT_SERVER_API_AUTH_STRING  # noqa: PLC0415

    gc.enable()
    lock_when_transactions_begin()
    app = Gate(create_app(), host, origins, Pages(home, PREFECT_SERVER_API_AUTH_STRING.value()))
    server = uvicorn.Server(uvicorn.Config(app, host=host, port=port, log_level="error", lifespan="on"))

    def end() -> None:
        wait_for_the_end(lambda: server.started)
        server.should_exit = True
        # An open dashboard keeps its connection, and the graceful stop waits for it.
        time.sleep(_GRACE_S)
        os._exit(0)

    threading.Thread(target=end, daemon=True).start()
    server.run(sockets)


def lock_when_transactions_begin() -> None:
    """Have Prefect's transactions on SQLite take the write lock at their start, so that they queue.

    Most of them begin as readers and fail at once ("database is locked", whatever the busy time-out) if another one
    wrote before they do. The server answers 503 then, and Prefect's client comes back two seconds later: an ingestion
    of eight small cases took 2 to 8 s instead of 2.
    """
    from prefect.server.database.configurations import (  # noqa: PLC0415 - after the environment is as it should be
        SQLITE_BEGIN_MODE,
        AioSqliteConfiguration,
    )

    @asynccontextmanager
    async def begin_immediately(_self: Any, session: Any, with_for_update: bool = True) -> AsyncIterator[Any]:  # noqa: ARG001
        async with session.begin() as transaction:
            # For this transaction alone: another one that begins inside of it would wait for it, in vain.
            token = SQLITE_BEGIN_MODE.set("IMMEDIATE")
            try:
                await session.connection()
            finally:
                SQLITE_BEGIN_MODE.reset(token)
            yield transaction

    setattr(AioSqliteConfiguration, "begin_transaction", begin_immediately)  # noqa: B010 - another type than declared


def _wait_for_the_parent(_started: Callable[[], bool]) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        continue


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
