import time

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


def test_many_files_are_looked_up_each_by_its_whole_name():
    scrub = Scrubber()
    for number in range(100_000):
        scrub.add_file(f"Doe_{number}.dcm", f"P-1 file {number}")
    scrub.add_file("Doe 1.dcm", "P-1 file x")
    start = time.perf_counter()
    assert scrub("cut: /a/DOE_7.dcm, Doe_77777.dcm. (Doe 1.dcm) Doe_7.dc") == (
        "cut: /a/P-1 file 7, P-1 file 77777. (P-1 file x) Doe_7.dc"
    )
    assert time.perf_counter() - start < 1
    scrub.forget()
    assert scrub("Doe_7.dcm Doe 1.dcm") == "Doe_7.dcm Doe 1.dcm"
