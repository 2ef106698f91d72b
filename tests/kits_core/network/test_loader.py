import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from kits_core.errors import CaseError
from kits_core.geometry import Volume, read_volume, write_volume
from kits_core.network.changes import Changes
from kits_core.network.loader import Loader, usable_threads
from kits_core.recipe.recipe import Recipe


def _loader(prepared, batch_size=4, threads=2):
    return Loader(prepared, Recipe(shape=32), batch_size=batch_size, seed=5, threads=threads)


def test_an_epoch_is_a_function_of_seed_and_number_whatever_the_threads(prepared):
    for one, two in zip(_loader(prepared).epoch(3), _loader(prepared, threads=1).epoch(3), strict=True):
        assert one.cases == two.cases
        np.testing.assert_array_equal(one.images, two.images)
        np.testing.assert_array_equal(one.labels, two.labels)
        for name in ("place", "values", "noise"):
            np.testing.assert_array_equal(getattr(one.changes, name), getattr(two.changes, name))


def test_epochs_differ(prepared):
    first, second = (next(iter(_loader(prepared).epoch(n))) for n in (1, 2))
    assert not np.array_equal(first.changes.place, second.changes.place)
    assert first.cases != second.cases


def test_every_case_comes_and_the_last_batch_is_filled_up(prepared):
    batches = list(_loader(prepared).epoch(1))
    assert [b.images.shape for b in batches] == [(4, 32, 32, 32)] * 2
    counts = Counter(name for b in batches for name in b.cases)
    assert set(counts) == {c.name for c in prepared}
    assert max(counts.values()) == 2


def test_fewer_cases_than_a_batch(prepared):
    (batch,) = _loader(prepared[:2], batch_size=5).epoch(1)
    assert len(batch.cases) == 5


def test_leaving_an_epoch_early_leaves_no_thread_behind(prepared):
    import threading

    epoch = _loader(prepared).epoch(1)
    next(epoch)
    epoch.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("loader")]


def test_it_needs_no_keras():
    code = "import sys, kits_core.network.loader; sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_it_goes_on_in_the_middle_of_an_epoch(prepared):
    whole = list(_loader(prepared, batch_size=2).epoch(4))
    rest = list(_loader(prepared, batch_size=2).epoch(4, start=1))
    assert len(rest) == len(whole) - 1
    for one, two in zip(whole[1:], rest, strict=True):
        assert one.cases == two.cases
        np.testing.assert_array_equal(one.images, two.images)
        np.testing.assert_array_equal(one.changes.noise, two.changes.noise)


def test_pairs_come_as_they_are_stored(prepared):
    (batch,) = _loader(prepared[:3], batch_size=3).epoch(1)
    by_name = {case.name: case for case in prepared}
    for name, image, labels in zip(batch.cases, batch.images, batch.labels, strict=True):
        assert (image.dtype, labels.dtype) == (np.int16, np.uint8)
        np.testing.assert_array_equal(image.T, read_volume(by_name[name].image_path).data)
        np.testing.assert_array_equal(labels.T, read_volume(by_name[name].label_path).data)


def test_without_augmentation_nothing_is_to_change(prepared):
    (batch,) = replace(_loader(prepared[:3], batch_size=3), augment=False).epoch(1)
    np.testing.assert_array_equal(batch.changes.place, Changes.none(3, 32, 32).place)
    np.testing.assert_array_equal(batch.changes.values, Changes.none(3, 32, 32).values)


def test_a_pair_that_cannot_be_read_is_named_at_once(prepared, tmp_path):
    gone = replace(prepared[0], name="case_00099", image_path=tmp_path / "none.nii")
    torn = tmp_path / "torn.nii"
    torn.write_bytes(prepared[0].image_path.read_bytes()[:5000])
    for case in (gone, replace(gone, image_path=torn)):
        with pytest.raises(CaseError, match=r"case_00099: expected a prepared pair, got .*; run kits prepare again"):
            list(_loader([*prepared, case]).epoch(1))


def test_a_pair_of_another_recipe_is_refused(prepared):
    with pytest.raises(CaseError, match="expected 64 voxels a side"):
        next(Loader(prepared, Recipe(shape=64), batch_size=1, seed=0).epoch(1))


def test_a_pair_of_another_type_of_number_is_refused(prepared, tmp_path):
    wide = replace(prepared[0], image_path=tmp_path / "image.nii")
    write_volume(wide.image_path, Volume(np.zeros((32, 32, 32), np.float32), np.eye(4)))
    with pytest.raises(CaseError, match=r"case_00000: expected a prepared pair, got image.nii of float32"):
        next(_loader([wide]).epoch(1))


def test_a_file_that_was_cut_short_since_it_was_first_read_is_named(prepared, tmp_path):
    case = replace(prepared[0], image_path=tmp_path / "image.nii")
    case.image_path.write_bytes(prepared[0].image_path.read_bytes())
    loader = _loader([case])
    next(loader.epoch(1))
    case.image_path.write_bytes(prepared[0].image_path.read_bytes()[:5000])
    with pytest.raises(CaseError, match=r"got image.nii with 4648 of 65536 bytes of voxels; run kits prepare again"):
        next(loader.epoch(2))


def test_threads_follow_the_cores_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(3), raising=False)
    assert (usable_threads(8), usable_threads(2)) == (3, 2)
