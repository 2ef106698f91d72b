from kits_core.source.preset import CASE_IDS, CASES, LICENCE, Kits23Addresses, phase_of


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
