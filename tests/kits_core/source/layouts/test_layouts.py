"""Each layout is found by looking, tells its cases and what values mean, and says what is wrong with a folder."""

import json

import pytest

from kits_core.errors import CaseError, KitsError
from kits_core.label_map import LabelMap
from kits_core.labels import Label
from kits_core.source.layout import Reading
from kits_core.source.layouts import LAYOUTS
from kits_core.source.opening import open_source

K, T, C, B = Label.KIDNEY, Label.TUMOR, Label.CYST, Label.BACKGROUND
V2 = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "kidney": 1, "tumor": 2, "cyst": 3},
    "numTraining": 2,
    "file_ending": ".nii.gz",
}


def _files(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def _describe(root, facts):
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset.json").write_text(json.dumps(facts))


def _nnunet(root, **changes):
    _describe(root, {**V2, **changes})
    _files(root, "imagesTr/a_0000.nii.gz", "imagesTr/b_0000.nii.gz", "labelsTr/a.nii.gz", "labelsTr/b.nii.gz")
    return root


def test_a_module_with_a_layout_is_all_that_the_registry_asks_for():
    assert {"kits", "nnunet", "msd", "pairs"} <= LAYOUTS.load().keys()
    assert all(name == layout.name for name, layout in LAYOUTS.load().items())


def test_nnunet(tmp_path):
    root = _nnunet(tmp_path / "Dataset220_KiTS2023")
    _files(root, "imagesTs/c_0000.nii.gz", "labelsTr/.hidden", "splits_final.json")
    source = open_source(str(root))
    assert (source.layout, source.name, source.cases()) == ("nnunet", "Dataset220_KiTS2023", ("a", "b", "c"))
    assert source.values == {0: B, 1: K, 2: T, 3: C}
    assert source.locate("a").image.address == str(root / "imagesTr/a_0000.nii.gz")
    assert source.locate("a").segmentation.address == str(root / "labelsTr/a.nii.gz")
    assert source.locate("c").segmentation is None
    assert "kits split --from" in source.notes[0]


def test_nnunets_own_regions_of_kits_mean_what_they_mean_there(tmp_path):
    regions = {"background": 0, "kidney": [1, 2, 3], "masses": [2, 3], "tumor": 2}
    root = _nnunet(tmp_path / "D", labels=regions, regions_class_order=[1, 3, 2])
    assert open_source(str(root)).values == {0: B, 1: K, 2: T, 3: C}


def test_nnunet_of_version_1(tmp_path):
    facts = {
        "modality": {"0": "CT"},
        "labels": {"0": "background", "1": "Kidney", "2": "Tumor"},
        "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}],
    }
    _describe(tmp_path, facts)
    _files(tmp_path, "imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz")
    source = open_source(str(tmp_path))
    assert (source.layout, source.cases(), source.values) == ("nnunet", ("a",), {0: B, 1: K, 2: T})


def test_names_that_mean_nothing_are_all_named_with_the_way_out(tmp_path):
    root = _nnunet(tmp_path / "D", labels={"background": 0, "kidney": 1, "renal mass": 2, "ureter": 7})
    with pytest.raises(KitsError, match=r"'renal mass' \(2\), 'ureter' \(7\); say what each is with --label"):
        open_source(str(root))
    labels = LabelMap.parse(["Renal Mass=tumor", "7=background"])
    assert open_source(str(root), reading=Reading(labels)).values == {0: B, 1: K, 2: T, 7: B}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channel_names": {"0": "CT", "1": "PET"}}, "one channel, CT"),
        ({"file_ending": ".png"}, "files that end in"),
        ({"labels": {"kidney": "one"}}, "whole numbers"),
        ({"labels": {}}, "labels, with a value for each name"),
    ],
)
def test_what_of_nnunet_cannot_be_used(tmp_path, changes, message):
    with pytest.raises(KitsError, match=message):
        open_source(str(_nnunet(tmp_path / "D", **changes)))


def test_several_channels_and_masks_without_an_image(tmp_path):
    root = _nnunet(tmp_path / "D")
    _files(root, "labelsTr/only.nii.gz")
    source = open_source(str(root))
    assert source.cases() == ("a", "b", "only")
    with pytest.raises(CaseError, match=r"only: expected an image for its mask, got only .*; add the scan"):
        source.locate("only")
    with pytest.raises(CaseError, match="3 others"):
        source.locate("z")
    _files(root, "imagesTr/a_0001.nii.gz")
    with pytest.raises(KitsError, match="another channel"):
        open_source(str(root))


def _decathlon(root, training, **changes):
    facts = {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "kidney", "2": "tumour"}, **changes}
    _describe(root, {**facts, "training": training})
    return root


def test_msd(tmp_path):
    pairs = [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in ("k_0001", "k_0002")]
    root = _decathlon(tmp_path / "Task11_Kidney", pairs, test=["./imagesTs/k_0003.nii.gz"])
    _files(root, *(f"{place}/k_000{n}.nii.gz" for place in ("imagesTr", "labelsTr") for n in (1, 2)))
    _files(root, "imagesTs/k_0003.nii.gz")
    source = open_source(str(root))
    assert (source.layout, source.cases()) == ("msd", ("k_0001", "k_0002", "k_0003"))
    assert source.values == {0: B, 1: K, 2: T}
    assert source.locate("k_0003").segmentation is None


def test_msd_with_files_that_are_not_there_or_elsewhere(tmp_path):
    pairs = [
        {"image": "imagesTr/a.nii.gz", "label": "labelsTr/a.nii.gz"},
        {"image": "imagesTr/b.nii.gz", "label": "labelsTr/b.nii.gz"},
        {"image": "../c.nii.gz", "label": "labelsTr/a.nii.gz"},
    ]
    root = _decathlon(tmp_path / "T", pairs)
    _files(root, "imagesTr/a.nii.gz", "labelsTr/a.nii.gz", "imagesTr/b.nii.gz", "../c.nii.gz")
    source = open_source(str(root))
    assert source.locate("a").segmentation is not None
    with pytest.raises(CaseError, match=r"b: expected .*labelsTr/b.nii.gz, which dataset.json names, got no such file"):
        source.locate("b")
    with pytest.raises(CaseError, match="c: expected files below"):
        source.locate("c")
    with pytest.raises(KitsError, match="each case once, got a twice"):
        open_source(str(_decathlon(root, [*pairs, pairs[0]])))
    with pytest.raises(KitsError, match="pairs of image and label, got 7"):
        open_source(str(_decathlon(root, [7])))


@pytest.mark.parametrize("masks", ["labels", "masks", "Segmentations"])
def test_pairs_in_two_folders(tmp_path, masks):
    _files(tmp_path, "images/张三.nii.gz", "images/李四.nrrd", f"{masks}/张三_seg.nii.gz", f"{masks}/李四.seg.nrrd")
    source = open_source(str(tmp_path))
    assert (source.layout, source.cases(), source.values) == ("pairs", ("张三", "李四"), None)
    assert source.locate("张三").segmentation.address.endswith("张三_seg.nii.gz")
    assert source.locate("李四").segmentation.form == source.locate("李四").image.form == "itk"


def test_pairs_by_pattern_in_one_folder(tmp_path):
    _files(tmp_path, "all/p1_ct.nii.gz", "all/p1_seg.nii.gz", "all/p2_ct.nii.gz", "all/notes.txt")
    reading = Reading(LabelMap.of({"1": K, "4": T}), images="all/{case}_ct.nii.gz", masks="all/{case}_seg.nii.gz")
    source = open_source(str(tmp_path), reading=reading)
    assert (source.cases(), source.values) == (("p1", "p2"), {1: K, 4: T})
    assert source.locate("p2").segmentation is None
    with pytest.raises(KitsError, match=r"expected files that fit all/\{case\}\.mha, got none"):
        open_source(str(tmp_path), reading=Reading(images="all/{case}.mha"))
    with pytest.raises(KitsError, match=r"with \{case\} once"):
        open_source(str(tmp_path), reading=Reading(images="all/ct.nii.gz"))
    with pytest.raises(KitsError, match="values of voxels, because no file there names structures, got renal mass"):
        open_source(str(tmp_path), reading=Reading(LabelMap.of({"renal mass": T}), images="all/{case}_ct.nii.gz"))


def test_a_pattern_may_end_with_the_case(tmp_path):
    _files(tmp_path, "ct/a.nii.gz", "ct/b.nrrd", "seg/a.nii.gz")
    source = open_source(str(tmp_path), reading=Reading(images="ct/{case}", masks="seg/{case}"))
    assert source.cases() == ("a", "b")


def test_two_files_of_one_case_and_names_that_cannot_be_used(tmp_path):
    _files(tmp_path, "images/a.nii.gz", "masks/a.nii.gz", "images/b\x1b[2J.nii.gz")
    source = open_source(str(tmp_path))
    assert [case for case in source.cases() if not case.isprintable()] == []
    with pytest.raises(CaseError, match="printable letters"):
        source.locate(source.cases()[1])
    _files(tmp_path, "images/a.nrrd")
    with pytest.raises(KitsError, match="a: expected one file of this name"):
        open_source(str(tmp_path))


def test_a_layout_that_is_named_and_not_there(tmp_path):
    root = _nnunet(tmp_path / "D")
    with pytest.raises(KitsError, match=r"expected \[msd\] dataset.json with a list.*got dataset.json, imagesTr/"):
        open_source(str(root), layout="msd")
    with pytest.raises(KitsError, match="one of dicom, kits, msd, nnunet, pairs"):
        open_source(str(root), layout="bids")
    with pytest.raises(KitsError, match="kits23: expected no layout, labels or patterns"):
        open_source("kits23", reading=Reading(LabelMap.of({"1": T})))
    with pytest.raises(KitsError, match="expected a folder in the layout msd"):
        open_source("https://host/data", layout="msd")


def test_a_description_that_is_no_json(tmp_path):
    root = _nnunet(tmp_path / "D")
    for text, message in (
        ("{", "expected JSON"),
        ("[]", "expected an object of JSON"),
        ("[" * 100_000, "expected JSON"),
    ):
        (root / "dataset.json").write_text(text)
        with pytest.raises(KitsError, match=message):
            open_source(str(root))
