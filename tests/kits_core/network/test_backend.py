"""Which kernels compute, each time in a process of its own: TensorFlow reads its settings once."""

import os
import subprocess
import sys

import pytest

CODE = """
import numpy as np
from kits_core.network.backend import cpu_kernels, keras, ops

print(cpu_kernels())
convolved = ops.conv(np.ones((1, 16, 16, 16, 8), "float32"), np.ones((3, 3, 3, 8, 8), "float32"), padding="same")
print(float(ops.max(convolved)))
"""


def _convolve(**more):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TF_ENABLE", "ONEDNN"))}
    # An old CPU is one whose oneDNN may use nothing newer than AVX2.
    environment |= {"KERAS_BACKEND": "tensorflow", "ONEDNN_MAX_CPU_ISA": "AVX2", "ONEDNN_VERBOSE": "1"} | more
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    convolutions = [line for line in lines if line.startswith("onednn_verbose") and ",exec,cpu,convolution," in line]
    kernels, result = (line for line in lines if not line.startswith("onednn_verbose"))
    assert float(result) == 27 * 8
    return kernels, convolutions


@pytest.fixture(scope="module", autouse=True)
def _under_tensorflow():
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        pytest.skip("TensorFlow's own kernels")


def test_onednn_convolves_whatever_the_cpu():
    kernels, convolutions = _convolve()
    assert kernels == "oneDNN, at most AVX2"
    assert convolutions
    assert all("avx512" not in line for line in convolutions)


def test_what_the_user_has_set_stays():
    assert _convolve(TF_ENABLE_ONEDNN_OPTS="0") == ("Eigen", [])


LOADING = """
import gc, sys, threading
waiting = threading.Event()

def beside():
    waiting.set()
    while "keras" not in sys.modules:
        pass
    import matplotlib

thread = threading.Thread(target=beside)
thread.start()
waiting.wait()
import kits_core.network.backend
thread.join()
print(*sorted({"IPython", "jax", "matplotlib", "pandas", "pyarrow", "sklearn"} & set(sys.modules)))
import jax, sklearn
print(gc.isenabled())
"""


def test_only_what_is_used_is_loaded_and_the_rest_can_be_loaded_by_others_and_later():
    """TensorFlow and Keras load JAX, pandas and more for parts of theirs that nobody uses here."""
    done = subprocess.run([sys.executable, "-c", LOADING], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines() == ["matplotlib", "True"]


COMPILING = """
import kits_core.network.backend as backend
if {card}:
    backend.find_gpus = lambda: [backend.Gpu("a card", (9, 0))]
    backend.keep_compiled()
import jax
print(jax.jit(lambda x: 2 * x + 1)(3.0))
"""


@pytest.mark.parametrize("card", [False, True])
@pytest.mark.parametrize("own", [False, True])
def test_what_jax_compiles_for_a_card_is_kept_for_the_user_alone(tmp_path, card, own):
    pytest.importorskip("jax", reason="JAX is not installed")
    environment = os.environ | {"KERAS_BACKEND": "jax", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    environment |= {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    if own:
        environment["JAX_COMPILATION_CACHE_DIR"] = str(tmp_path / "own")
    code = COMPILING.format(card=card)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "7.0"
    kept = sorted({path.parent for path in tmp_path.rglob("*-cache")})
    if own:
        assert kept == [tmp_path / "own"]
    elif card:
        (folder,) = kept
        assert folder.stat().st_mode & 0o777 == 0o700
    else:
        assert kept == []
