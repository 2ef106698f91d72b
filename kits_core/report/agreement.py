"""How far plans from predictions are off those from references: a table and a sentence.

A frame of measurements is long: a row a measurement of a structure, columns `case, structure, side, name, reference,
prediction` (see `kits_core.plan.measurement.Pair`).
"""

import pandas as pd

from kits_core.plan.measurement import BY_NAME, FOUND, TUMOR
from kits_core.report.tables import NOTHING, Rows

_SHOWN = (
    ("tumor", ("volume_ml", "diameter_mm", "axial_diameter_mm", "exophytic_fraction", "contact_mm2",
               "sinus_distance_mm", "parenchyma_left_5mm_ml", "renal_total")),
    ("kidney", ("parenchyma_ml", "length_mm")),
)  # fmt: skip


def agreement_rows(measured: pd.DataFrame) -> Rows:
    """A row a measurement: over the structures that both have, the errors, predicted minus reference.

    The limits of agreement are the mean error and 1.96 standard deviations on either side (Bland & Altman 1986).
    """
    rows = []
    for kind, names in _SHOWN:
        pairs = measured[measured["structure"].str.startswith(kind)].dropna(subset=["reference", "prediction"])
        for name in names:
            found = pairs[pairs["name"] == name]
            if not found.empty:
                rows.append(_row(kind, name, found))
    return rows


def tumors_sentence(measured: pd.DataFrame) -> str:
    """How many of the references' tumours were found, and how many were seen that are not there."""
    volumes = measured[measured["name"] == "volume_ml"]
    known = volumes[volumes["structure"].str.startswith(TUMOR)]
    missed = int(known["prediction"].isna().sum())
    wrong = int(volumes["structure"].str.startswith(FOUND).sum())
    return (
        f"{len(known) - missed} of {len(known)} tumours of the references share voxels with a predicted one, "
        f"{missed} {'is' if missed == 1 else 'are'} missed; {wrong} predicted tumour{'' if wrong == 1 else 's'} "
        f"share{'s' if wrong == 1 else ''} none."
    )


def _row(kind: str, name: str, pairs: pd.DataFrame) -> dict[str, str]:
    title, unit, scale = _shown_as(name)
    reference, error = scale * pairs["reference"], scale * (pairs["prediction"] - pairs["reference"])
    spread = 1.96 * error.std(ddof=1)
    return {
        "measurement": f"{'tumour' if kind == 'tumor' else kind}: {title}{f', {unit}' if unit else ''}",
        "pairs": str(len(pairs)),
        "reference, mean": f"{reference.mean():.1f}",
        "error, mean": f"{error.mean():+.1f}",
        "limits of agreement": NOTHING
        if len(pairs) < 2
        else f"{error.mean() - spread:+.1f} to {error.mean() + spread:+.1f}",
        "absolute error, median": f"{error.abs().median():.1f}",
        "absolute error, largest": f"{error.abs().max():.1f}",
    }


def _shown_as(name: str) -> tuple[str, str, float]:
    """A measurement's title and unit for people, and what its values are multiplied by to be in it."""
    if name == "renal_total":
        return "R.E.N.A.L. points", "", 1.0
    measurement = BY_NAME[name]
    return (measurement.title, "%", 100.0) if measurement.unit == "1" else (measurement.title, measurement.unit, 1.0)
