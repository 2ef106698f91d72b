from deployments.cli.differences import differing, in_words


def _rows(**runs):
    return [
        {"number": int(run.removeprefix("run")), "setting": name, "value": value}
        for run, settings in runs.items()
        for name, value in settings.items()
    ]


def test_settings_that_all_share_are_left_out():
    rows = _rows(run1={"filters": "64", "seed": "23"}, run2={"filters": "64", "seed": "1"})
    assert differing(rows) == {1: {"seed": "23"}, 2: {"seed": "1"}}


def test_a_value_that_only_some_have_is_a_difference():
    rows = _rows(run1={"fold": None}, run2={"fold": "1"}, run3={"fold": None})
    assert differing(rows) == {1: {"fold": None}, 2: {"fold": "1"}, 3: {"fold": None}}


def test_one_run_differs_from_nothing():
    assert differing(_rows(run4={"seed": "23"})) == {4: {}}
    assert differing([]) == {}


def test_in_words():
    assert in_words({"filters": "8", "fold": None}) == "filters 8 · fold none"
    assert in_words({}) == ""
