"""Worker processes that end with the process that started them, however that one ends."""

import os
import threading
import time

_LOOK_EVERY_S = 1.0


def end_with_parent(parent: int | None = None) -> None:
    """Call it when a worker starts. A worker whose parent was killed could otherwise wait for ever for a lock.

    `parent`: the parent's process id; by default the present parent.
    """
    watched = os.getppid() if parent is None else parent
    threading.Thread(target=_watch, args=(watched,), daemon=True, name="end-with-parent").start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY_S)
    os._exit(1)
