"""KiTS23 as data: addresses, cases, licence, phases. Imports in milliseconds."""

import re
from dataclasses import dataclass
from typing import Literal

Phase = Literal["arterial", "nephrogenic"]

NAME = "kits23"
_NAMES = {"kits19", "kits21", NAME, "kits-challenge-imaging"}
LICENCE = "KiTS23 is licensed CC BY-NC-SA 4.0: attribution, no commercial use, share alike (https://creativecommons.org/licenses/by-nc-sa/4.0/)"
CITATION = (
    "Heller et al., The KiTS21 Challenge: Automatic segmentation of kidneys, renal tumors, and renal cysts in "
    "corticomedullary-phase CT, arXiv:2307.01984, 2023"
)

CASE_IDS: tuple[int, ...] = (*range(300), *range(400, 589))
"""The 489 public cases. 300 to 399 were never released."""

CASES: tuple[str, ...] = tuple(f"case_{number:05d}" for number in CASE_IDS)

_FIRST_NEPHROGENIC = "case_00500"


@dataclass(frozen=True)
class Kits23Addresses:
    """Where KiTS23 lies. Images come from one host, segmentations and clinical records from another.

    A revision is a branch, tag or commit of the host's repository; name a commit where a download must be repeatable.
    """

    image_base: str = "https://huggingface.co/datasets/neheller/KiTS-Challenge-Imaging/resolve"
    image_revision: str = "main"
    label_base: str = "https://raw.githubusercontent.com/neheller/kits23"
    label_revision: str = "main"

    def image(self, case: str) -> str:
        """URL of a case's scan."""
        return f"{self.image_base.rstrip('/')}/{self.image_revision}/images/{case}.nii.gz"

    def segmentation(self, case: str) -> str:
        """URL of a case's segmentation."""
        return f"{self.label_base.rstrip('/')}/{self.label_revision}/dataset/{case}/segmentation.nii.gz"

    def clinical(self) -> str:
        """URL of the clinical records."""
        return f"{self.label_base.rstrip('/')}/{self.label_revision}/dataset/kits23.json"


def is_kits(dataset: str, source: str) -> bool:
    """Whether data are KiTS's, so that its licence holds: by the dataset's name, or by where they came from.

    `source`: a URL or folder. It is KiTS's if a part of it has the name of the challenge's data or repositories.
    """
    parts = {dataset.lower(), *re.split(r"[/\\]+", source.lower())}
    return not parts.isdisjoint(_NAMES)


def phase_of(case: str) -> Phase:
    """Contrast phase of a KiTS23 case. Said by the data's maintainer: 500 to 588 are nephrogenic; not in the JSON."""
    return "nephrogenic" if case >= _FIRST_NEPHROGENIC else "arterial"
