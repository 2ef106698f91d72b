"""Surface Dice."""

from kits_core.metrics.metric import MaskPair, Metric


def measure(pair: MaskPair) -> float:
    """See `surface.surface_dice`."""
    from kits_core.metrics.surface import surface_dice  # noqa: PLC0415 - which loads SciPy

    if pair.tolerance_mm is None:
        raise ValueError("surface Dice: expected a region with a tolerance, got one without")
    return surface_dice(pair.prediction, pair.reference, pair.spacing_mm, pair.tolerance_mm)


METRIC = Metric(
    "surface_dice",
    "surface Dice",
    "overlap",
    "share of both surfaces' area within the challenge's tolerance of the other surface (Nikolov et al. 2021); where "
    "the challenge has a tolerance: kidney and mass 1.03 mm, mass 1.13 mm, tumor 1.15 mm",
    measure,
    order=30,
    needs_tolerance=True,
)
