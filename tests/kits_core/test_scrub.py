from kits_core.scrub import Scrubber


def test_names_are_replaced_the_longest_first_in_any_case_and_as_words():
    scrub = Scrubber()
    scrub.add("/data/Doe", "P-1")
    scrub.add("/data/Doe/ct", "P-2")
    scrub.add("Doe", "P-3")
    assert scrub("/data/doe/ct/1.dcm, /data/Doe, DOE^JANE, Doering") == "P-2/1.dcm, P-1, P-3^JANE, Doering"


def test_what_is_short_or_known_is_passed_over():
    scrub = Scrubber()
    scrub.add(" a ", "P-1")
    scrub.add("Doe (x", "P-2")
    scrub.add("doe (X", "P-3")
    assert scrub("a Doe (x") == "a P-2"
    assert Scrubber()("Doe") == "Doe"
