"""Worker processes that end with the process that started them, however that one ends."""

import os
import threading
import time

_LOOK_EVERY_S = 1.0


def end_with_parent() -> None:
    """Call at a worker's start. One whose parent was killed may wait for ever for a lock that nobody holds any more."""
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True, name="end-with-parent").start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY_S)
    os._exit(1)
