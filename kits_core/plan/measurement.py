"""What a plan measures: names, units, definitions and sources, as data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """Something measured of a kidney or of a tumour. `name` carries the unit, as the catalog and `plan.json` have it."""

    name: str
    of: str
    title: str
    unit: str
    definition: str


@dataclass(frozen=True)
class Value:
    """A measured value, or None and why there is none."""

    name: str
    value: float | None
    why_none: str = ""


@dataclass(frozen=True)
class Row:
    """A value of a structure, as the catalog keeps it. `structure`: as `kidney_left`, `tumor_1`.

    `side`: of the kidney, left, right or fused; `none` beside no kidney, the structure is then `no_kidney` or a tumour.
    """

    structure: str
    side: str
    name: str
    value: float | None


@dataclass(frozen=True)
class Pair:
    """A measurement of a structure by the reference and by the prediction.

    `structure`: as the reference's plan calls it; a tumour that only the prediction has is `found_1`, ..., by its
    number there. `reference`, `prediction`: None where there is no such structure, or no such value of it.
    """

    structure: str
    side: str
    name: str
    reference: float | None
    prediction: float | None


TUMOR, FOUND = "tumor_", "found_"
"""How names of tumours begin: those of a plan, and in a `Pair` those that only the prediction has."""

MARGINS_MM = (0, 5, 10)

_SURFACE = "on the smooth surface around the mask that encloses the mask's volume"

MEASUREMENTS: tuple[Measurement, ...] = (
    Measurement("parenchyma_ml", "kidney", "kidney tissue", "ml", "voxels labelled kidney times the voxel's volume"),
    Measurement("tumor_ml", "kidney", "tumour", "ml", "voxels labelled tumour times the voxel's volume, specks included"),
    Measurement("cyst_ml", "kidney", "cysts", "ml", "voxels labelled cyst times the voxel's volume"),
    Measurement("length_mm", "kidney", "length", "mm", f"largest distance between two points of the kidney tissue, {_SURFACE}"),
    Measurement("volume_ml", "tumor", "volume", "ml", "voxels of the connected tumour times the voxel's volume"),
    Measurement("diameter_mm", "tumor", "largest diameter", "mm", f"largest distance between two of its points in any direction, {_SURFACE}"),
    Measurement(
        "axial_diameter_mm", "tumor", "largest axial diameter", "mm",
        f"largest distance between two of its points in one axial plane, {_SURFACE} (longest diameter of RECIST 1.1, Eisenhauer et al. 2009)",
    ),
    Measurement(
        "exophytic_fraction", "tumor", "exophytic share", "1",
        "share of its volume outside of the convex hull of the tissue of its kidney (estimate of what bulges out of the kidney)",
    ),
    Measurement(
        "contact_mm2", "tumor", "contact with kidney tissue", "mm²",
        "area of its surface that lies on kidney tissue (contact surface area, Leslie et al. 2014)",
    ),
    Measurement(
        "sinus_distance_mm", "tumor", "distance to the renal sinus", "mm",
        "smallest distance of its surface from the renal sinus, which is estimated from the kidney's shape: the largest medial "
        "space inside the convex hull of the kidney tissue that is not labelled and at least 6 mm thick",
    ),
    Measurement("cyst_distance_mm", "tumor", "distance to the nearest cyst", "mm", "smallest distance between the surfaces, cysts of the same kidney"),
    Measurement("tumor_distance_mm", "tumor", "distance to the nearest other tumour", "mm", "smallest distance between the surfaces, tumours of the same kidney"),
    Measurement("above_fraction", "tumor", "share above the upper polar line", "1", "share of its volume above the upper end of the estimated sinus, along the scan's axis"),
    Measurement("below_fraction", "tumor", "share below the lower polar line", "1", "share of its volume below the lower end of the estimated sinus, along the scan's axis"),
    Measurement(
        "across_middle_fraction", "tumor", "share across the kidney's middle", "1",
        "the smaller of the shares of its volume above and below the height midway between both ends of the kidney tissue",
    ),
    Measurement(
        "anterior_fraction", "tumor", "anterior share", "1",
        "share of its volume in front of the plane through the kidney's centre that holds the scan's axis and the direction to "
        "the estimated sinus (without one: the coronal plane)",
    ),
    *(
        Measurement(
            f"parenchyma_left_{margin}mm_ml", "tumor", f"kidney tissue left, margin {margin} mm", "ml",
            f"tissue of its kidney farther than {margin} mm from its surface"
            if margin else "all tissue of its kidney: what a resection along the tumour's surface leaves",
        )
        for margin in MARGINS_MM
    ),
)  # fmt: skip
"""Everything measured, in the order in which it is shown."""

BY_NAME = {measurement.name: measurement for measurement in MEASUREMENTS}
