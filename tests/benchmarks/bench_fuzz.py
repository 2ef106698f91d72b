"""10,000 damaged NIfTI files through reading, converting, scoring and planning: none may get through, and how fast.

`make test` does 300 of them. See `tests/fuzz/nifti.py` for what is done, and how to look at one of them.
"""

import subprocess
import sys
import time
from pathlib import Path

COUNT = 10_000


def main() -> None:
    """Run all, and print what was not survived."""
    script = Path(__file__).parents[1] / "fuzz" / "nifti.py"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, script, "--count", str(COUNT)], check=False)
    seconds = time.perf_counter() - start
    print(f"{COUNT} damages in {seconds:.0f} s, {COUNT / seconds:.1f} a second")
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
