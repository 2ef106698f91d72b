"""`kits` as people call it: as a process of its own, or in this one, which takes seconds less."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from deployments.cli import main

_KITS = [sys.executable, "-c", "from deployments.cli import main; main()"]


@pytest.fixture
def kits_process():
    """Runs a verb as a terminal does. `status`: its exit status. Gives an object with `stdout` and `stderr`."""

    def run(*words, status=0):
        done = subprocess.run([*_KITS, *map(str, words)], capture_output=True, text=True, check=False, env=os.environ)
        assert done.returncode == status, done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def kits(capfd, monkeypatch):
    """The same in this process."""

    def run(*words, status=0):
        monkeypatch.setattr("sys.argv", ["kits", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        stdout, stderr = capfd.readouterr()
        assert (ended.value.code or 0) == status, stdout + stderr
        return SimpleNamespace(stdout=stdout, stderr=stderr)

    return run
