import pytest
from hypothesis import given
from hypothesis import strategies as st

from kits_core.disk import RESERVE_BYTES
from kits_core.errors import KitsError
from kits_core.source.budget import FileCost, add_up

MB = 10**6


def test_a_budget_by_hand():
    costs = [
        FileCost("a", 40 * MB, 100 * MB),
        FileCost("b", 10 * MB, 20 * MB),
        FileCost("c", 30 * MB, None),
        FileCost("d", None, None),
    ]
    budget = add_up(costs, free_bytes=10**9, under_way=2, keep_archives=False)
    assert (budget.files, budget.fetch_bytes, budget.unknown) == (4, 80 * MB, 1)
    assert budget.largest == ("c", 120 * MB)
    assert budget.disk_bytes == (100 + 20 + 4 * 30) * MB + (40 + 30) * MB
    kept = add_up(costs, free_bytes=10**9, under_way=2, keep_archives=True)
    assert kept.disk_bytes - budget.disk_bytes == 10 * MB
    assert budget.describe() == (
        "4 files, 80 MB to fetch, at most 310 MB more on disk, 1.0 GB free, the size of 1 files is not known"
    )


def test_what_does_not_fit_is_refused_with_both_sizes():
    costs = [FileCost("a", 10**9, 10**9), FileCost("b", 10**9, 16 * 10**12), FileCost("c", 10**9, 3 * 10**9)]
    budget = add_up(costs, free_bytes=2 * 10**9, under_way=8, keep_archives=False)
    with pytest.raises(
        KitsError,
        match=r"16,007 GB of free .* got 2\.0 GB; b takes most, 16,000 GB; nothing was fetched; make room",
    ):
        budget.check()
    fits = 2 * 10**9 + RESERVE_BYTES
    add_up([FileCost("a", 10**9, 10**9)], free_bytes=fits, under_way=8, keep_archives=False).check()
    with pytest.raises(KitsError, match="beside 200 MB that stay free"):
        add_up([FileCost("a", 10**9, 10**9)], free_bytes=fits - 1, under_way=8, keep_archives=False).check()


@given(st.lists(st.builds(FileCost, st.just("a"), st.integers(0, 10**9), st.integers(0, 10**9))), st.integers(1, 20))
def test_more_files_under_way_never_need_less_and_never_more_than_keeping_all(costs, under_way):
    def disk(n, *, keep=False):
        return add_up(costs, free_bytes=0, under_way=n, keep_archives=keep).disk_bytes

    assert disk(under_way) <= disk(under_way + 1) <= disk(1, keep=True)
