"""Small islands in a prediction: what removing them would do, and removing them.

Rules are volumes in mm³, chosen on validation cases and only where they help (nnU-Net decides so too, for the largest
component: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z). Islands are joined across faces, edges and corners.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

from kits_core.geometry.boxes import bounding_box
from kits_core.labels import Label

Labels = NDArray[np.uint8]
Spacing = tuple[float, float, float]
Counts = NDArray[np.int64]

FOREGROUND_MM3 = (0.0, 1_000.0, 5_000.0, 20_000.0)
"""Candidates for the smallest island of kidney and tumour together; a kidney has some 150,000 mm³."""
TUMOR_MM3 = (0.0, 50.0, 250.0, 1_000.0)
"""Candidates for the smallest island of tumour; the smallest tumour of KiTS23 has 200 mm³."""

_LEAST_GAIN = 0.001  # of mean Dice: less is noise


@dataclass(frozen=True)
class Rules:
    """The smallest islands that stay, in mm³; 0 keeps all.

    An island of kidney and tumour together that is smaller becomes background. Of what is left, a smaller island of
    tumour becomes kidney where it hangs together with kidney, else background.
    """

    foreground_mm3: float = 0.0
    tumor_mm3: float = 0.0


@dataclass(frozen=True)
class Choice:
    """Rules, and the mean Dice of kidney and tumour over `cases` validation cases without and with them."""

    rules: Rules
    cases: int
    before: float
    after: float

    def to_json(self) -> dict[str, Any]:
        """As the catalog keeps it."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Choice":
        """What `to_json` gave."""
        return cls(**{**data, "rules": Rules(**data["rules"])})


NOT_CHOSEN = Choice(Rules(), cases=0, before=0.0, after=0.0)
"""No rules, because there are no validation cases to choose them with."""


@dataclass(frozen=True, eq=False)
class Islands:
    """What the islands of one prediction are made of, and how much of it is right; all counts int64, in voxels.

    `whole`: `(n, 4)`, islands of kidney and tumour together: predicted kidney, predicted tumour, how much of each the
    reference agrees with. `tumor`: `(m, 3)`, islands of tumour: voxels, of them tumour and of them kidney in the
    reference. `parent`: `(m,)`, the row of `whole` that each lies in. `reference`: `(2,)`, kidney and tumour.
    """

    whole: Counts
    tumor: Counts
    parent: Counts
    reference: Counts
    voxel_mm3: float

    def dice(self, rules: Rules) -> tuple[float, float]:
        """Dice of kidney and tumour by the rules; as the challenge has it, 1 where both are empty."""
        stays = self.whole[:, :2].sum(axis=1) * self.voxel_mm3 >= rules.foreground_mm3
        kidney, tumor, kidney_hit, tumor_hit = self.whole[stays].sum(axis=0)
        small = (self.tumor[:, 0] * self.voxel_mm3 < rules.tumor_mm3) & stays[self.parent]
        lost, lost_tumor, _ = self.tumor[small].sum(axis=0)
        to_kidney = small & (self.whole[self.parent, 0] > 0)
        gained, _, gained_hit = self.tumor[to_kidney].sum(axis=0)
        in_kidney, in_tumor = self.reference
        return (
            _dice(kidney_hit + gained_hit, kidney + gained + in_kidney),
            _dice(tumor_hit - lost_tumor, tumor - lost + in_tumor),
        )


def clean(labels: Labels, spacing_mm: Spacing, rules: Rules) -> Labels:
    """The labels (uint8 `(x, y, z)`, 0 to 2) without small islands; the same array where there are none.

    A second call changes nothing.
    """
    box = bounding_box(labels)
    if box is None or rules == Rules():
        return labels
    voxel_mm3 = float(np.prod(spacing_mm))
    part = labels[box].copy()
    whole = _components(part > 0)
    sizes = np.bincount(whole.ravel())
    part[(sizes * voxel_mm3 < rules.foreground_mm3)[whole]] = Label.BACKGROUND
    tumor = _components(part == Label.TUMOR)
    small = np.bincount(tumor.ravel()) * voxel_mm3 < rules.tumor_mm3
    small[0] = False
    with_kidney = np.zeros(sizes.size, np.bool_)
    with_kidney[np.unique(whole[part == Label.KIDNEY])] = True
    specks = small[tumor]
    part[specks] = np.where(with_kidney[whole[specks]], np.uint8(Label.KIDNEY), np.uint8(Label.BACKGROUND))
    if np.array_equal(part, labels[box]):
        return labels
    cleaned = labels.copy()
    cleaned[box] = part
    return cleaned


def find_islands(labels: Labels, reference: Labels, spacing_mm: Spacing) -> Islands:
    """Count a prediction's islands (uint8, 0 to 2) against its reference (uint8, same shape, 0 to 3)."""
    totals = np.array([np.count_nonzero(reference == label) for label in (Label.KIDNEY, Label.TUMOR)], np.int64)
    box = bounding_box(labels)
    voxel_mm3 = float(np.prod(spacing_mm))
    if box is None:
        none = np.zeros(0, np.int64)
        return Islands(none.reshape(0, 4), none.reshape(0, 3), none, totals, voxel_mm3)
    part, truth = labels[box], reference[box]
    kidney, tumor = part == Label.KIDNEY, part == Label.TUMOR
    whole, specks = _components(part > 0), _components(tumor)
    n, m = int(whole.max()), int(specks.max())
    masks = kidney, tumor, kidney & (truth == Label.KIDNEY), tumor & (truth == Label.TUMOR)
    parent = np.zeros(m + 1, np.int64)
    parent[specks[tumor]] = whole[tumor]
    return Islands(
        whole=np.stack([np.bincount(whole[mask], minlength=n + 1)[1:] for mask in masks], axis=1),
        tumor=np.stack(
            [
                np.bincount(specks[mask], minlength=m + 1)[1:]
                for mask in (tumor, tumor & (truth == Label.TUMOR), tumor & (truth == Label.KIDNEY))
            ],
            axis=1,
        ),
        parent=parent[1:] - 1,
        reference=totals,
        voxel_mm3=voxel_mm3,
    )


def choose(cases: Sequence[Islands]) -> Choice:
    """The rules with the largest mean Dice of kidney and tumour over the cases; of equal ones, those that remove least.

    Rules that make either mean smaller, or the mean of both by less than 0.001 larger, are not chosen.
    """
    if not cases:
        return NOT_CHOSEN
    means = {rules: np.mean([islands.dice(rules) for islands in cases], axis=0) for rules in _candidates()}
    plain = means[Rules()]
    fair = {rules: float(mean.mean()) for rules, mean in means.items() if (mean >= plain).all()}
    best = max(fair, key=lambda rules: fair[rules])
    before = float(plain.mean())
    if fair[best] < before + _LEAST_GAIN:
        best = Rules()
    return Choice(best, len(cases), before, fair[best])


def _candidates() -> Iterator[Rules]:
    """The candidates, beginning with rules that remove nothing."""
    return (Rules(foreground, tumor) for foreground, tumor in product(FOREGROUND_MM3, TUMOR_MM3))


def _components(mask: NDArray[np.bool_]) -> NDArray[np.uint32]:
    return np.asarray(cc3d.connected_components(mask, connectivity=26, out_dtype=np.uint32))


def _dice(hits: int, sizes: int) -> float:
    return 2 * float(hits) / float(sizes) if sizes else 1.0
