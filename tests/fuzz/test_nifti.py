import subprocess
import sys
from pathlib import Path


def test_300_damages_are_survived():
    """In a process that has loaded nothing else: each damage is worked on in a fork of it."""
    script = Path(__file__).with_name("nifti.py")
    done = subprocess.run(
        [sys.executable, script, "--count", "300"], capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not survived" not in done.stdout
    assert "accepted" in done.stdout
