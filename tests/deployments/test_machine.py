import socket
import threading
import time

from deployments.home_note import prefect_home
from deployments.up import machine as module
from deployments.up.machine import Machine, Place


def test_a_process_that_ended_is_started_again_while_the_server_answers_nothing(home, prefect_api, monkeypatch):
    """Requests wait in the listener of `kits up` until a server that died runs again: its starter must not ask it."""
    for name in ("_NAME_EVERY_S", "_TIDY_EVERY_S", "_LOOK_EVERY_S"):
        monkeypatch.setattr(module, name, 0.1)
    prefect_home(home).mkdir(parents=True)
    lines, start = [], time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        machine = Machine(Place(home, "127.0.0.1", silent.getsockname()[1], password=False))
        machine._add("short-lived", ["-c", ""], {})
        late = threading.Timer(30, machine.end)
        late.start()
        for line in machine.watch():
            lines.append(line)
            if len(lines) == 2:
                machine.end()
        late.cancel()
        machine.stop()
    assert [line.split(";")[0] for line in lines] == ["short-lived ended with status 0"] * 2
    assert time.monotonic() - start < 30
