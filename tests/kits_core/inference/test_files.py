import numpy as np

from kits_core.geometry import Volume, read_volume, write_volume
from kits_core.inference.cleanup import Rules
from kits_core.inference.files import is_prediction, islands_of, note_of, score_missing, score_prediction

AFFINE = np.diag([-0.8, 0.8, 3.0, 1.0])


def _labels():
    labels = np.zeros((20, 20, 10), np.uint8)
    labels[2:12, 2:12, 2:8] = 1
    labels[4:8, 4:8, 3:6] = 2
    return labels


def test_a_prediction_knows_its_origin(tmp_path):
    note = note_of("a" * 64, "b" * 64, "c" * 64)
    assert len(note) <= 79
    assert note != note_of("a" * 64, "c" * 64, "b" * 64)
    path = tmp_path / "case_00001.nii.gz"
    assert not is_prediction(path, note)
    write_volume(path, Volume(_labels(), AFFINE), note=note)
    assert is_prediction(path, note)
    assert not is_prediction(path, note_of("a" * 64))
    path.write_bytes(path.read_bytes()[:20])
    assert not is_prediction(path, note)


def test_scoring_cleans_the_file_once_and_keeps_its_note(tmp_path):
    predicted = _labels()
    predicted[18, 18, 9] = 1
    prediction, reference = tmp_path / "case_00001.nii.gz", tmp_path / "segmentation.nii"
    write_volume(prediction, Volume(predicted, AFFINE), note="kits abc")
    write_volume(reference, Volume(_labels(), AFFINE))
    assert islands_of("case_00001", prediction, reference).whole.shape == (2, 4)
    rules = Rules(foreground_mm3=100.0)
    for _ in range(2):
        scores = score_prediction("case_00001", prediction, reference, rules)
        assert all(s.value == 1 for s in scores if s.metric == "dice")
        np.testing.assert_array_equal(read_volume(prediction).data, _labels())
        assert is_prediction(prediction, "kits abc")


def test_a_case_without_a_prediction(tmp_path):
    image, reference = tmp_path / "imaging.nii", tmp_path / "segmentation.nii"
    write_volume(image, Volume(np.zeros((20, 20, 10), np.int16), AFFINE))
    write_volume(reference, Volume(_labels(), AFFINE))
    assert {str(s.status) for s in score_missing("case_00001", image, reference)} == {"missing"}
