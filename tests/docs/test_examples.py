"""Every code block that a reader may copy runs, or the page says why no test runs it."""

import re
import subprocess
import warnings

import pytest
import typer
from page_blocks import ROOT, blocks_of, verbs_in

from deployments.reference.commands import commands

PAGES = [
    ROOT / "README.md",
    *(
        ROOT / "docs" / f"{name}.md"
        for name in (
            "data",
            "correct",
            "queries",
            "connect",
            "models",
            "running",
            "patients",
            "troubleshooting",
        )
    ),
    *sorted((ROOT / "docs" / "tutorials").glob("*.md")),
    *sorted((ROOT / "docs" / "how-to").glob("*.md")),
]
# What a page takes for granted, because another one did it.
BEFORE = {
    "correct": ["kits predict exports/patient7 --out ./plans"],
    "patients": ["kits predict exports/doe --out ./plans"],
}
# Whose figures are drawn.
DRAWN = ("README", "figures")
COMMANDS = commands()
EVERY_PAGE = sorted({ROOT / "README.md", *(ROOT / "docs").rglob("*.md")})


@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_blocks_of_a_page_run_in_their_order(path, reader, request):
    if path.stem not in DRAWN:
        request.getfixturevalue("undrawn")
    for command in BEFORE.get(path.stem, ()):
        _run(command, reader, "before")
    for block in blocks_of(path):
        where = f"{path.name}:{block.line}"
        if block.language == "python" and block.runs(block.text):
            exec(compile(block.text, where, "exec"), {"__name__": "__main__"})
        for command in filter(block.runs, block.commands if block.language == "sh" else ()):
            printed = _run(command, reader, where)
            assert block.shown in " ".join(printed.split()), f"{where}: {command}\n{printed}"


def _run(command, reader, where):
    calls = list(verbs_in(command))
    if calls and not re.search(r"[|><*?]|\$\(", re.sub(r"'[^']*'|\"[^\"]*\"", "", command)):
        printed = ""
        for settings, words in calls:
            status, text = reader.kits.run(words, settings)
            assert status == 0, f"{where}: kits {' '.join(words)}\n{text}"
            printed += text
        return printed
    done = subprocess.run(["bash", "-euc", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{where}: {command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("path", EVERY_PAGE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_each_command_in_a_block_is_one_that_kits_takes(path):
    for block in blocks_of(path):
        for command in block.commands if block.language == "sh" else ():
            for _, words in verbs_in(command):
                _parse(words, f"{path.name}:{block.line}")


def test_each_command_in_a_sentence_has_a_verb_and_options_that_exist():
    unknown = []
    for path in EVERY_PAGE:
        for said in re.findall(r"`kits ([^`]+)`", path.read_text(encoding="utf-8")):
            words = said.replace("\n", " ").split()
            if words[0].startswith("-") or words[0] == "VERB":
                continue
            found = [name for name in (" ".join(words[:2]), words[0]) if name in COMMANDS]
            options = {one for word in words if (one := word.partition("=")[0]).startswith("--")}
            if not found or options - {"--help"} - _options(COMMANDS[found[0]]):
                unknown.append(f"{path.name}: kits {said}")
    assert unknown == []


AMERICAN = re.compile(
    r"\b(tumors?|colors?|colored|gray|behavior|centers?|centered|favor\w*|neighbor\w*|labeled|canceled|learned|"
    r"(normal|standard|recogn|organ|summar|general|visual|initial|optim|minim|anonym)iz\w*|analyz\w*)\b",
    flags=re.IGNORECASE,
)
_NO_PROSE = re.compile(r"```.*?```|`[^`]*`|\]\([^)]*\)|https?://\S+|\"[^\"\n]*\"", flags=re.DOTALL)


@pytest.mark.parametrize(
    "path",
    [path for path in EVERY_PAGE if path.name != "catalog.md"],  # which has the words of the code
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_prose_has_british_spelling(path):
    assert AMERICAN.findall("tumor `tumor`")  # a word of code alone may be American
    prose = _NO_PROSE.sub(" ", path.read_text(encoding="utf-8"))
    assert [found[0] for found in AMERICAN.finditer(prose)] == []


def test_rows_of_the_benchmarks_are_short():
    rows = [line for line in (ROOT / "docs" / "benchmarks.md").read_text("utf-8").splitlines() if line.startswith("|")]
    assert len(rows) > 100
    assert [cell for row in rows for cell in row.split("|") if len(cell.split()) > 15] == []


def test_what_is_not_run_has_a_reason_and_names_tests_that_exist():
    reasons = [reason for path in PAGES for block in blocks_of(path) for reason in block.skipped.values()]
    assert len(reasons) > 10
    assert all(len(reason.split()) >= 3 for reason in reasons)
    named = {found for reason in reasons for found in re.findall(r"tests/\S+\.py", reason)}
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_a_beginning_that_is_not_run_begins_a_command_of_its_block():
    idle = [
        f"{path.name}:{block.line}: {start}"
        for path in PAGES
        for block in blocks_of(path)
        for start in block.skipped
        if not any(command.startswith(start) for command in block.commands)
    ]
    assert idle == []


def _parse(words, where):
    name = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
    assert name in COMMANDS, f"{where}: kits {' '.join(words)}"
    try:
        COMMANDS[name].make_context(name, words[len(name.split()) :])
    except typer.Exit:  # --help
        pass
    except Exception as error:
        raise AssertionError(f"{where}: kits {' '.join(words)}: {error}") from error


def _options(command):
    return {spelling for one in command.params if one.param_type_name == "option" for spelling in one.opts}


NOTEBOOK = ROOT / "docs" / "notebooks" / "kits.ipynb"


@pytest.fixture
def notebook():
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed; the extra docs has it")
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.mark.slow
def test_the_notebook_runs_on_a_home_with_a_model(notebook, reader, monkeypatch):
    pytest.importorskip("ipykernel", reason="ipykernel is not installed; the extra docs has it")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed; the extra docs has it")
    monkeypatch.setenv("KITS_HOME", str(reader.folder / "kits-home"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Jupyter's own
        nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(reader.folder)}}).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    shown = ["".join(output.get("data", {}).get("text/plain", "") for output in cell.outputs) for cell in cells]
    leaderboard, means, volume, ceilings, labels, scores, plan = shown[1:]
    assert "tumor_dice" in leaderboard
    assert "foreground" in means
    assert volume.startswith("((40, 96, 96), (5.0, 3.2")
    assert "'tumor': 0." in ceilings
    assert labels == "((40, 96, 96), dtype('uint8'))"
    assert "hausdorff95_mm" in scores
    assert "parenchyma_ml" in plan


def test_the_notebook_is_stored_without_results(notebook):
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
