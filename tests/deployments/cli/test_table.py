"""Tables in terminals of any width: no word and no number is broken, and nothing is left out."""

import io

import pytest
from rich.console import Console

from deployments.cli import output
from deployments.cli.table import layout

LEADERBOARD = [
    {
        "evaluation_id": 1,
        "model_id": 12,
        "subset": "validation",
        "cases": 98,
        "kidney_dice": 0.9072123,
        "tumor_dice": 0.6180999,
        "official_surface_dice": 0.723,
        "is_champion": 1,
    },
    {
        "evaluation_id": 2,
        "model_id": 13,
        "subset": "train",
        "cases": 391,
        "kidney_dice": None,
        "tumor_dice": 12345.678,
        "official_surface_dice": 0.5,
        "is_champion": 0,
    },
]
PROBLEMS = [
    {
        "dataset": "hospital",
        "case_name": "case_00007",
        "stage": "ingest",
        "attempts": 3,
        "error": "case_00007: expected a whole gzip archive, got one that is cut off; export the scan again",
    }
]


def shown(rows, width, title=None):
    file = io.StringIO()
    console = Console(file=file, width=width)
    console.print(layout(rows, title, width), crop=False)
    return file.getvalue()


def words_of(rows):
    for row in rows:
        for name, value in row.items():
            yield from name.replace("_", " ").split()
            if value is not None:
                yield from (f"{value:.4g}" if isinstance(value, float) else str(value)).split()


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("rows", [LEADERBOARD, PROBLEMS], ids=["numbers", "a sentence"])
def test_every_word_and_number_is_whole_and_no_line_is_wider_than_the_terminal(rows, width):
    text = shown(rows, width, "A title")
    assert all(len(line) <= width for line in text.splitlines())
    found = text.replace(":", " ").split()
    assert [word for word in words_of(rows) if word.rstrip(":") not in found] == []
    assert "A title" in text


def test_at_80_columns_a_heading_breaks_between_its_words_and_a_wider_table_becomes_blocks():
    narrow = [{key: row[key] for key in ("evaluation_id", "model_id", "subset", "kidney_dice")} for row in LEADERBOARD]
    assert "──────" in shown(narrow, 80)
    assert shown(LEADERBOARD, 80).splitlines()[1:6] == [
        "evaluation id: 1",
        "model id: 12",
        "subset: validation",
        "cases: 98",
        "kidney dice: 0.9072",
    ]
    assert "kidney dice: –" in shown(LEADERBOARD, 80)
    assert "──────" in shown(LEADERBOARD, 120)


def test_a_sentence_goes_on_in_the_next_line_beside_columns_that_stay_whole():
    lines = shown(PROBLEMS, 80).splitlines()
    assert any(set(line.strip()) == {"─"} for line in lines)
    (first,) = [line for line in lines if "hospital" in line]
    assert "case_00007   ingest" in first
    blocks = shown(PROBLEMS, 40)
    assert "error: case_00007: expected a whole gzip\n  archive" in blocks


def test_a_word_that_is_wider_than_the_terminal_stays_whole_so_that_it_can_be_copied():
    digest = "f" * 64
    assert digest in shown([{"sha256": digest, "path": "a b"}], 40)


def test_numbers_stand_to_the_right_whatever_the_first_row_lacks_and_brackets_are_no_styles():
    text = shown([{"dice": None, "[bold]name": "[red]"}, {"dice": 0.5, "[bold]name": "x"}], 80)
    assert "[bold]name" in text
    assert "[red]" in text
    (line,) = [line for line in text.splitlines() if "0.5" in line]
    assert line.startswith("   0.5")


def test_numbers_as_text_stand_to_the_right_too_though_some_are_missing():
    lines = shown([{"surface Dice": "–"}, {"surface Dice": "0.871"}], 80).splitlines()
    assert [line.rstrip()[-1] for line in lines[-3:-1]] == ["–", "1"]
    assert len(lines[-3].rstrip()) == len(lines[-2].rstrip())


def test_a_line_stays_free_after_blocks_so_that_the_next_title_stands_apart():
    assert shown(LEADERBOARD, 40).endswith("is champion: 0\n\n")


@pytest.mark.parametrize("width", [40, 80])
def test_what_verbs_print_keeps_to_it(width, monkeypatch):
    file = io.StringIO()
    console = Console(file=file, width=width)
    monkeypatch.setattr(output, "out", console)
    row = {"region": "kidney and mass", "cases": "98", "Dice": "0.907", "95 % interval": "0.881–0.923"}
    row |= {"ceiling": "0.991", "surface Dice": "0.871", "HD95, mm": "12.1", "cases without a distance": "1"}
    output.show_scores([row | {"HD95 with these as the diagonal, mm": "24.5"}], "98 cases")
    text = file.getvalue()
    assert all(len(line) <= width for line in text.splitlines())
    for word in ("interval", "ceiling", "0.881–0.923", "diagonal", "without"):
        assert word in text.replace(":", " ").split()
    output.show_table([])


@pytest.mark.parametrize("width", [40, 80])
def test_facts_stand_beside_their_names_where_every_word_fits_there(width, monkeypatch):
    file = io.StringIO()
    console = Console(file=file, width=width)
    monkeypatch.setattr(output, "out", console)
    path = "/home/" + 50 * "x"
    output.show_facts({"training step": "0.5 s at the demo's size: 64³, 12 filters, batch of 2", "home": path})
    text = file.getvalue()
    assert path in text
    assert ("home:" in text) == (width == 40)
    assert "12 filters" in " ".join(text.split())
