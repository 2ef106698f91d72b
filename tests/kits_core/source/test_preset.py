import pytest

from kits_core.source.preset import CASE_IDS, CASES, LICENCE, Kits23Addresses, is_kits, phase_of


def test_489_cases_without_300_to_399():
    assert len(CASES) == len(set(CASES)) == len(CASE_IDS) == 489
    assert CASES[0] == "case_00000"
    assert CASES[-1] == "case_00588"
    assert not {f"case_{n:05d}" for n in range(300, 400)} & set(CASES)


def test_addresses_carry_the_revision():
    addresses = Kits23Addresses(
        image_base="https://a/r/", image_revision="abc", label_base="https://b", label_revision="v1"
    )
    assert addresses.image("case_00007") == "https://a/r/abc/images/case_00007.nii.gz"
    assert addresses.segmentation("case_00007") == "https://b/v1/dataset/case_00007/segmentation.nii.gz"
    assert addresses.clinical() == "https://b/v1/dataset/kits23.json"
    assert Kits23Addresses().image("case_00000").startswith("https://huggingface.co/datasets/neheller/")


def test_phases_and_licence():
    assert (phase_of("case_00499"), phase_of("case_00500")) == ("arterial", "nephrogenic")
    assert "CC BY-NC-SA 4.0" in LICENCE


@pytest.mark.parametrize(
    ("dataset", "source", "expected"),
    [
        ("kits23", "anywhere", True),
        ("mine", Kits23Addresses().image("case_00000"), True),
        ("mine", "https://raw.githubusercontent.com/neheller/kits23/main/dataset", True),
        ("dataset", "/data/KiTS23/dataset", True),
        ("phantoms", "http://127.0.0.1:8000", False),
        ("hospital", "/data/kits-home/like-kits23", False),
    ],
)
def test_data_are_kits_by_their_name_or_by_where_they_came_from(dataset, source, expected):
    assert is_kits(dataset, source) is expected
