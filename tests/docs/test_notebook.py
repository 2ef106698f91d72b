"""The notebook of the documentation runs, cell by cell, in a kernel of its own."""

import warnings

import pytest

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed; the extra docs has it")
pytest.importorskip("ipykernel", reason="ipykernel is not installed; the extra docs has it")
nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed; the extra docs has it")

from page_blocks import ROOT  # noqa: E402 - what may be missing comes first

pytestmark = pytest.mark.slow

NOTEBOOK = ROOT / "docs" / "notebooks" / "kits.ipynb"


def test_it_runs_on_a_home_with_a_model(reader, monkeypatch):
    monkeypatch.setenv("KITS_HOME", str(reader.folder / "kits-home"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Jupyter's own
        nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(reader.folder)}}).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    shown = ["".join(output.get("data", {}).get("text/plain", "") for output in cell.outputs) for cell in cells]
    leaderboard, means, volume, ceilings, labels, scores, plan = shown[1:]
    assert "tumor_dice" in leaderboard
    assert "foreground" in means
    assert volume.startswith("((40, 96, 96), (5.0, 3.2")
    assert "'tumor': 0." in ceilings
    assert labels == "((40, 96, 96), dtype('uint8'))"
    assert "hausdorff95_mm" in scores
    assert "parenchyma_ml" in plan


def test_it_is_stored_without_results():
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
