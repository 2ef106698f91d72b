"""The process of a local Prefect server that ends when the process that started it does, however that one ends.

Prefect's own embedded server outlives a killed parent and then holds its port and database for ever. This one watches
its standard input, which the operating system closes together with the parent. Run as
`python -m deployments.server_process HOST PORT`.
"""

import os
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from prefect.server.database.configurations import SQLITE_BEGIN_MODE, AioSqliteConfiguration

_GRACE_S = 10.0


def main(host: str, port: int) -> None:
    """Serve until standard input closes or a signal asks to stop."""
    lock_when_transactions_begin()
    config = uvicorn.Config(
        "prefect.server.api.server:create_app", factory=True, host=host, port=port, log_level="error", lifespan="on"
    )
    server = uvicorn.Server(config)
    threading.Thread(target=_stop_with_parent, args=(server,), daemon=True).start()
    server.run()


def lock_when_transactions_begin() -> None:
    """Have Prefect's transactions on SQLite take the write lock at their start, so that they queue.

    Most of them begin as readers and fail at once ("database is locked", whatever the busy time-out) if another one
    wrote before they do. The server answers 503 then, and Prefect's client comes back two seconds later: an ingestion
    of eight small cases took 2 to 8 s instead of 2.
    """

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


def _stop_with_parent(server: uvicorn.Server) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        continue
    server.should_exit = True
    # An open dashboard keeps its connection, and the graceful stop waits for it.
    time.sleep(_GRACE_S)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
