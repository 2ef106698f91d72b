import re

import numpy as np
import pytest

from kits_core.errors import CaseError, KitsError
from kits_core.label_map import LabelMap, read_label_map, relabel
from kits_core.labels import Label


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("kidney", Label.KIDNEY),
        ("  Kidneys ", Label.KIDNEY),
        ("LEFT KIDNEY", Label.KIDNEY),
        ("kidney_left", Label.KIDNEY),
        ("Kidney - Right", Label.KIDNEY),
        ("Tumour", Label.TUMOR),
        ("renal tumor", Label.TUMOR),
        ("kidney_cyst_left", Label.CYST),
        ("Cyst", Label.CYST),
        ("Background", Label.BACKGROUND),
    ],
)
def test_usual_names_need_no_map(name, label):
    assert LabelMap().label_of(name) is label


@pytest.mark.parametrize("name", ["renal mass", "mass", "liver", "kidney tumor?", "", "*"])
def test_what_may_mean_several_things_is_not_guessed(name):
    assert not LabelMap().knows(name)
    with pytest.raises(KitsError, match=r'--label "NAME=kidney\|tumor\|cyst\|background"'):
        LabelMap().label_of(name)


def test_a_map_comes_before_the_usual_names_and_the_rest_comes_last():
    names = LabelMap.of({" Renal  MASS": "tumour", "cyst": Label.BACKGROUND, "*": "background"})
    assert names.label_of("renal_mass") is Label.TUMOR
    assert names.label_of("Cyst") is Label.BACKGROUND
    assert names.label_of("left kidney") is Label.KIDNEY
    assert names.label_of("liver") is Label.BACKGROUND


def test_options_are_read_as_a_map_is():
    one = LabelMap.parse(["ROI=1 = tumor", "a=KIDNEY"])
    other = LabelMap.of({"A": Label.KIDNEY, "roi=1": "tumor"})
    assert one == other
    assert hash(one) == hash(other)
    assert {one: 1}[other] == 1
    assert one.label_of("ROI=1") is Label.TUMOR
    assert one != LabelMap()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["kidney"], "got no '='"),
        (["a=liver"], "expected kidney|tumor|cyst|background for 'a', got 'liver'"),
        (["a="], "got ''"),
        (["=kidney"], "expected a name for kidney, got none"),
        (["a b=kidney", "A_B=tumor"], "expected one label for 'A_B', got kidney and tumor"),
    ],
)
def test_wrong_options_are_refused(options, words):
    with pytest.raises(KitsError) as error:
        LabelMap.parse(options)
    assert words in str(error.value)


def test_all_unknown_names_of_a_case_are_listed_at_once():
    with pytest.raises(CaseError, match=r"case_7: .*also 'liver', 'mass' \(understood: 'kidney'\); .*--label"):
        LabelMap().labels_of("case_7", ["liver", "kidney", "mass", "liver"])
    assert LabelMap().labels_of("case_7", ["Kidney", "Cyst"]) == {"Kidney": Label.KIDNEY, "Cyst": Label.CYST}


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64])
def test_values_become_labels_by_their_names(order, dtype):
    lookup = LabelMap.of({"lesion": "tumor"}).of_values("c", {4: "kidney_left", 7: "Kidney right", 200: "lesion"})
    values = np.array([[[0, 4, 7], [200, 0, 4]]], dtype=dtype if dtype != np.int16 else ">i2", order=order)
    labels = relabel("c", values, lookup)
    assert labels.dtype == np.uint8
    assert labels.tolist() == [[[0, 1, 1], [2, 0, 1]]]
    assert labels.flags.f_contiguous == values.flags.f_contiguous


def test_a_value_without_a_name_is_refused():
    with pytest.raises(CaseError, match=r"values that have a name \(1, 2\), got also 3, 9"):
        relabel("c", np.array([0, 1, 3, 9]), {1: Label.KIDNEY, 2: Label.TUMOR})


def test_zero_may_be_a_structure():
    assert relabel("c", np.array([0, 1]), {0: Label.KIDNEY, 1: Label.BACKGROUND}).tolist() == [1, 0]


def test_a_map_in_a_file(tmp_path):
    file = tmp_path / "labels.yaml"
    file.write_text("# ours\nRenal mass: tumor\n1: kidney\n'*': background\n", encoding="utf-8-sig")
    assert read_label_map(file) == {"*": "background", "1": "kidney", "renal mass": "tumor"}
    for text, message in (("- a", "another content"), ("a: [b]", "another content"), ("a: b: c", "expected lines NAME"),
                          ("a: lung", "kidney|tumor|cyst|background"), ("", "another content")):  # fmt: skip
        file.write_text(text)
        with pytest.raises(KitsError, match=re.escape(message)):
            read_label_map(file)
    with pytest.raises(KitsError, match="No such file"):
        read_label_map(tmp_path / "none.yaml")
