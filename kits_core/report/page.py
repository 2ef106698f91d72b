"""The evaluation report: one HTML file without any outside reference, to mail, print or keep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from kits_core.metrics.aggregate import OfficialSummary, official_summary
from kits_core.metrics.known import METRICS
from kits_core.metrics.score import Status
from kits_core.pages import environment
from kits_core.report.agreement import agreement_rows, tumors_sentence
from kits_core.report.data_url import data_url
from kits_core.report.methods import Inference, Lineage, cleanup_sentence, comparability, methods_paragraph
from kits_core.report.style import PAGE, Look
from kits_core.report.tables import case_rows, official_rows, score_rows, subgroup_rows, two_tables

FIGURES = {
    "scores": "Every case by region (dashed: ceiling of the recipe)",
    "tumor_volume_agreement": "Tumour volume, Bland-Altman: predicted against reference",
    "tumor_dice_over_size": "Tumour Dice over tumour size",
    "tumor_diameter_agreement": "Largest tumour diameter, Bland-Altman: predicted against reference",
    "subgroups": "Tumour Dice by subgroup",
    "learning_curve": "Learning curve",
}
"""Titles of a report's figures by the names of their files."""


@dataclass(frozen=True, eq=False)
class Report:
    """What a page shows.

    `scores`: a frame as `metrics.aggregate` has it. `measured`: one as `report.agreement` has it, empty where there are
    no plans. `ceilings`: Dice of a perfect model through the recipe, by region. `subgroups`: rows of
    `metrics.subgroup.by_subgroup`. `history`: a row an epoch. `cases_pictured`: by title, a PNG by caption.
    `flow_runs`: Prefect's ids of the runs that made this, by what they did. `dashboard`: its address at that time.
    `stale`: a sentence for each thing that this rests on and that was made from files which are others by now.
    """

    title: str
    subset: str
    scores: pd.DataFrame
    measured: pd.DataFrame
    ceilings: Mapping[str, float]
    subgroups: pd.DataFrame
    history: pd.DataFrame
    lineage: Lineage
    inference: Inference
    created: str
    cases_pictured: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)
    flow_runs: Mapping[str, str] = field(default_factory=dict)
    dashboard: str = ""
    stale: Sequence[str] = ()

    @property
    def official(self) -> OfficialSummary:
        """What the challenge ranks by."""
        return official_summary(self.scores)

    @property
    def missing(self) -> list[str]:
        """Cases that nothing was predicted for, which count as zero."""
        return sorted(self.scores.loc[self.scores["status"] == Status.MISSING, "case"].unique())

    def figures(self) -> dict[str, bytes]:
        """PNG by title."""
        return {FIGURES[name]: png for name, png in self.draw(PAGE).items()}

    def draw(self, look: Look) -> dict[str, bytes]:
        """Each figure that there are values for, by its name in `FIGURES`, as a file's content."""
        from kits_core.report import figures  # noqa: PLC0415 - seaborn takes a second

        drawn = {
            "scores": figures.score_distribution(self.scores, self.ceilings, look),
            "tumor_volume_agreement": figures.tumor_volume_agreement(self.scores, look),
            "tumor_dice_over_size": figures.dice_over_volume(self.scores, look),
        }
        if self.measured["name"].eq("diameter_mm").any():
            drawn["tumor_diameter_agreement"] = figures.tumor_diameter_agreement(self.measured, look)
        tumor = self.subgroups[self.subgroups["region"] == "tumor"]
        if not tumor.empty:
            dice = self.scores[(self.scores["region"] == "tumor") & (self.scores["metric"] == "dice")]["value"]
            drawn["subgroups"] = figures.subgroup_forest(tumor, float(dice.mean()), look)
        drawn["learning_curve"] = figures.learning_curve(self.history, look)
        return drawn


def render(report: Report, drawn: Mapping[str, bytes]) -> str:
    """The page as HTML text, with the figures that `Report.figures` drew."""
    rows = score_rows(report.scores, report.ceilings)
    return (
        environment("kits_core.report")
        .get_template("page.html.j2")
        .render(
            title=report.title,
            subset=report.subset,
            created=report.created,
            missing=report.missing,
            stale=report.stale,
            score_rows=rows,
            score_tables=two_tables(rows),
            official=report.official,
            official_rows=official_rows(report.official),
            comparability=comparability(report.official),
            case_rows=case_rows(report.scores),
            subgroup_rows=subgroup_rows(report.subgroups),
            agreement_rows=agreement_rows(report.measured),
            tumors_found=tumors_sentence(report.measured),
            figures={title: data_url(png) for title, png in drawn.items()},
            cases_pictured={
                title: {caption: data_url(png) for caption, png in pictures.items()}
                for title, pictures in report.cases_pictured.items()
            },
            cleanup=cleanup_sentence(report.inference.cleanup),
            methods=methods_paragraph(report.lineage, report.inference, report.subset),
            metrics=METRICS,
            inference=report.inference,
            flow_runs=report.flow_runs,
            dashboard=report.dashboard,
            lineage=report.lineage,
        )
    )
