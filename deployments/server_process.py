"""The process of a local Prefect server that ends when the process that started it does, however that one ends.

Prefect's own embedded server outlives a killed parent and then holds its port and database for ever. This one watches
its standard input, which the operating system closes together with the parent. Run as
`python -m deployments.server_process HOST PORT`.
"""

import os
import sys
import threading
import time

import uvicorn

_GRACE_S = 10.0


def main(host: str, port: int) -> None:
    """Serve until standard input closes or a signal asks to stop."""
    config = uvicorn.Config(
        "prefect.server.api.server:create_app", factory=True, host=host, port=port, log_level="error", lifespan="on"
    )
    server = uvicorn.Server(config)
    threading.Thread(target=_stop_with_parent, args=(server,), daemon=True).start()
    server.run()


def _stop_with_parent(server: uvicorn.Server) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        continue
    server.should_exit = True
    # An open dashboard keeps its connection, and the graceful stop waits for it.
    time.sleep(_GRACE_S)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
