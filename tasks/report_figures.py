"""A report's figures as files for a paper: PDF and SVG, one and two columns wide."""

from dataclasses import dataclass
from pathlib import Path

from db.models import Evaluation
from db.queries import evaluation as queries
from kits_core.case_names import folder_name
from kits_core.report.page import FIGURES
from kits_core.report.style import Look
from tasks.catalog import reading
from tasks.export import check_out, written_folder
from tasks.report import captions_of, draw_cases, read_report

PAPER = tuple(Look(width_mm, kind) for width_mm in (85, 180) for kind in ("pdf", "svg"))
"""A column, and a page, of most journals."""
CASES, CAPTIONS = "cases", "captions.txt"


@dataclass(frozen=True)
class WrittenFigures:
    """`figures`: how many, each in every look of `PAPER`."""

    folder: str
    figures: int


def write_figures(evaluation_id: int, out: Path, workers: int) -> WrittenFigures:
    """Write every figure of an evaluation's report to the folder `out`, whole or not at all.

    Raises `KitsError` for a folder that is not empty.
    """
    out = check_out(out)
    report = read_report(evaluation_id, workers, pictures=False)
    with reading() as session:
        evaluation = session.get_one(Evaluation, evaluation_id)
        cases = [member.case for member in queries.evaluated_members(session, evaluation)]
    captions, pictures = captions_of(report.scores), draw_cases(report.scores, cases, evaluation_id, workers, PAPER)
    captioned = []
    with written_folder(out) as aside:
        (aside / CASES).mkdir()
        for look in PAPER:
            drawn = report.draw(look)
            for name, content in drawn.items():
                _file(aside, name, look).write_bytes(content)
        captioned += [f"{name}: {FIGURES[name]}" for name in drawn]
        for case, contents in pictures.items():
            for look, content in zip(PAPER, contents, strict=True):
                _file(aside / CASES, folder_name(case), look).write_bytes(content)
            captioned.append(f"{CASES}/{folder_name(case)}: {captions[case]}; reference blue, prediction orange")
        (aside / CAPTIONS).write_text("\n".join((report.title, "", *captioned)) + "\n", encoding="utf-8")
    return WrittenFigures(str(out), len(captioned))


def _file(folder: Path, name: str, look: Look) -> Path:
    return folder / f"{name}_{look.width_mm:.0f}mm.{look.format}"
