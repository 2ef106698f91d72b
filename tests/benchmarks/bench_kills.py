"""Forty SIGKILLs at random moments of every verb: what was finished stays whole, and each verb then ends well.

`python tests/benchmarks/bench_kills.py [--kills N] [--seed N]`. Takes about a quarter of an hour on two cores.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

from db.engine import open_catalog
from db.settings import Settings
from kits_core.files import sha256_of
from kits_core.phantom.dataset import write_phantoms
from kits_core.results import NOTE

KITS = [sys.executable, "-c", "from deployments.cli import main; main()"]
CASES = 6
TRAIN = ["train", "--shape", "32", "--epochs", "3", "--batch-size", "2", "--filters", "4", "--learning-rate", "3e-3"]
HASHED = (
    ("case_file", "path", "sha256"),
    ("prepared_case", "image_path", "image_sha256"),
    ("prepared_case", "label_path", "label_sha256"),
    ("model", "path", "sha256"),
)


def main() -> None:
    """Kill, look, go on; then let every verb end, and count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    asked = parser.parse_args()
    rng, killed, ended = random.Random(asked.seed), Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        os.environ |= {"KITS_HOME": str(place / "home"), "KITS_SERVER_IDLE_MINUTES": "1"}
        os.environ.pop("PREFECT_API_URL", None)
        source, out = place / "source", place / "plans"
        write_phantoms(source, CASES, 3, shape=(24, 64, 64), spacing_mm=(8.0, 5.0, 5.0))
        scan = source / "case_00000" / "imaging.nii.gz"
        raw = place / "home" / "raw" / "phantoms"
        own = [_own_file(at / "case_00000" / "notes.txt") for at in (out, raw)]
        before = {path: sha256_of(path) for path in source.rglob("*") if path.is_file()}
        verbs = [
            ["ingest", "--source", str(source), "--dataset", "phantoms"],
            ["prepare", "--shape", "32"],
            ["split"],
            TRAIN,
            ["evaluate", "--model", "latest"],
            ["predict", str(scan), "--out", str(out), "--model", "latest"],
        ]
        for number in range(asked.kills):
            words = verbs[number % len(verbs)]
            process = subprocess.Popen([*KITS, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                process.wait(rng.uniform(1, 12))
                ended[words[0]] += 1
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                killed[words[0]] += 1
            _check_whole(out)
        for words in verbs:
            done = subprocess.run([*KITS, *words], capture_output=True, text=True, check=False)
            assert done.returncode == 0, (asked.seed, words, done.stderr[-3000:])
        _check_whole(out)
        _check_end()
        assert {path: sha256_of(path) for path in source.rglob("*") if path.is_file()} == before
        assert [path.read_text() for path in own] == ["mine"] * len(own)
        subprocess.run([*KITS, "tidy", "--yes"], capture_output=True, check=True)
        left = subprocess.run([*KITS, "tidy", "--json"], capture_output=True, text=True, check=True).stdout
        assert json.loads(left) == []
        print(f"seed {asked.seed}: {killed.total()} kills of {asked.kills} ({dict(killed)}), the others had ended")
        _wait_for_the_server(place / "home")


def _own_file(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    return path


def _rows(query: str) -> list[tuple[object, ...]]:
    with open_catalog(Settings()).connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def _check_whole(out: Path) -> None:
    """Every file that the catalog, or the note of a scan's results, names is there with its hash."""
    home = Settings().home
    for table, path, sha256 in HASHED:
        for where, expected in _rows(f"SELECT {path}, {sha256} FROM {table}"):
            assert sha256_of(home / str(where)) == expected, where
    for note in out.rglob(NOTE):
        if (note.parent / "plan.json").is_file():
            for name, hashes in json.loads(note.read_text()).items():
                assert sha256_of(note.parent / name) in hashes, name


def _check_end() -> None:
    """Nothing twice, nothing open, nothing that rests on another file than it should."""
    assert _rows("SELECT COUNT(*), COUNT(DISTINCT case_id || kind) FROM case_file") == [(2 * CASES, 2 * CASES)]
    assert _rows("SELECT COUNT(*), COUNT(DISTINCT case_id) FROM prepared_case") == [(CASES, CASES)]
    for table in ("split", "training_run", "model", "evaluation", "prediction"):
        assert _rows(f"SELECT COUNT(*) FROM {table}") == [(1,)], table
    for table in ("training_run", "evaluation", "prediction"):
        assert _rows(f"SELECT status FROM {table}") == [("completed",)], table
    assert _rows("SELECT * FROM open_problem") == []
    assert _rows("SELECT * FROM stale") == []


def _wait_for_the_server(home: Path) -> None:
    """It ends by itself, and then no process of this home is left."""
    deadline = time.monotonic() + 180
    while left := [p.pid for p in psutil.process_iter() if _is_of(p, home)]:
        assert time.monotonic() < deadline, left
        time.sleep(2)


def _is_of(process: psutil.Process, home: Path) -> bool:
    try:
        return process.pid != os.getpid() and process.environ().get("KITS_HOME") == str(home)
    except psutil.Error:
        return False


if __name__ == "__main__":
    main()
