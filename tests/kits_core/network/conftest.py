import numpy as np
import pytest

from kits_core.geometry import Volume, write_volume
from kits_core.network.loader import TrainingCase


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """Six prepared pairs of 32 voxels a side: a bright kidney with a dark tumour in it, somewhere else in each."""
    folder = tmp_path_factory.mktemp("prepared")
    grid = np.stack(np.meshgrid(*[np.arange(32)] * 3, indexing="ij"), axis=-1)
    cases = []
    for i in range(6):
        rng = np.random.default_rng(i)
        centre = rng.uniform(12, 20, size=3)
        labels = (np.linalg.norm(grid - centre, axis=-1) < 9).astype(np.uint8)
        labels[np.linalg.norm(grid - centre - (4, 0, 0), axis=-1) < 4] = 2
        hu = np.array([-50, 180, 40])[labels] + rng.normal(0, 10, labels.shape)
        case = TrainingCase(f"case_{i:05d}", folder / f"{i}_image.nii", folder / f"{i}_labels.nii")
        write_volume(case.image_path, Volume(hu.astype(np.int16), np.eye(4)))
        write_volume(case.label_path, Volume(labels, np.eye(4)))
        cases.append(case)
    return cases
