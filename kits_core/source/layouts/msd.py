"""The Medical Segmentation Decathlon's folders: a `dataset.json` that lists pairs of images and labels.

Source: Antonelli et al., The Medical Segmentation Decathlon, Nature Communications 13, 2022; its `dataset.json`.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kits_core.case_names import check_name, cleaned, folder_name
from kits_core.errors import CaseError, KitsError
from kits_core.labels import Label
from kits_core.scan.endings import stem_of
from kits_core.source.layout import (
    Contents,
    Layout,
    ListedSource,
    Reading,
    location_of,
    meanings,
    put,
    read_json,
)
from kits_core.source.location import CaseLocations

DESCRIPTION = "dataset.json"
_ALIKE = "list each file once, below the folder, in dataset.json"


def find(folder: Path, reading: Reading) -> ListedSource | None:
    """The source that a folder is. Raises `KitsError` for lists that cannot be read and labels that mean nothing."""
    description = folder / DESCRIPTION
    if not description.is_file():
        return None
    facts = read_json(description)
    training = facts.get("training")
    if not isinstance(training, list):
        return None
    listed = [_pair(description, entry) for entry in training]
    tests = facts.get("test", [])
    listed += [_pair(description, {"image": entry} if isinstance(entry, str) else entry) for entry in tests or []]
    if listed and not any((folder / image).is_file() for image, _ in listed):
        return None  # of nnU-Net's version 1, whose files have the number of a channel besides
    found: dict[str, CaseLocations | CaseError] = {}
    for image, label in listed:
        case = cleaned(stem_of(Path(image)) or Path(image).name)
        if case in found:
            raise KitsError(f"{description}: expected each case once, got {case} twice; {_ALIKE}")
        try:
            found[case] = _located(folder, case, image, label)
        except CaseError as error:
            found[error.case] = error
    return ListedSource(folder, LAYOUT.name, found, _values(description, facts, reading))


def _pair(description: Path, entry: Any) -> tuple[str, str | None]:
    image, label = (entry.get("image"), entry.get("label")) if isinstance(entry, dict) else (None, None)
    if not isinstance(image, str) or not (label is None or isinstance(label, str)):
        raise KitsError(f"{description}: expected pairs of image and label, got {entry!r}; {_ALIKE}")
    return image, label


def _located(folder: Path, case: str, image: str, label: str | None) -> CaseLocations:
    files = [folder / path for path in (image, label) if path is not None]
    for file in files:
        if not Path(os.path.normpath(file)).is_relative_to(folder):
            raise CaseError(case, expected=f"files below {folder}", got=str(file), next_step=_ALIKE)
        if not file.is_file():
            step = f"add it, or remove its line from {DESCRIPTION}"
            raise CaseError(case, expected=f"{file}, which {DESCRIPTION} names", got="no such file", next_step=step)
    return CaseLocations(check_name(case), location_of(files[0]), location_of(files[1]) if label is not None else None)


def _values(description: Path, facts: Mapping[str, Any], reading: Reading) -> dict[int, Label]:
    named = facts.get("labels")
    try:
        names = {int(value): str(name) for value, name in named.items()} if isinstance(named, dict) else {}
    except ValueError:
        names = {}
    if not names:
        raise KitsError(f"{description}: expected labels, with a name for each value, got {named!r}; correct the file")
    return meanings(description, names, reading.labels)


def write(out: Path, contents: Contents, on_case: Callable[[str], None]) -> None:
    """Cases with a mask as training, the others as test."""
    training, test = [], []
    for case in contents.cases:
        file = f"{folder_name(case.name)}.nii"
        put(case.image, out / ("imagesTr" if case.mask else "imagesTs") / file)
        if case.mask is not None:
            put(case.mask, out / "labelsTr" / file, is_mask=True)
            training.append({"image": f"./imagesTr/{file}", "label": f"./labelsTr/{file}"})
        else:
            test.append(f"./imagesTs/{file}")
        on_case(case.name)
    facts = {
        "name": contents.name,
        "tensorImageSize": "3D",
        "modality": {"0": "CT"},
        "labels": {str(int(label)): label.name.lower() for label in Label},
        "numTraining": len(training),
        "numTest": len(test),
        "training": training,
        "test": test,
    }
    (out / DESCRIPTION).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


LAYOUT = Layout(
    "msd", f"{DESCRIPTION} with a list of pairs, as the Medical Segmentation Decathlon has it", find, write=write
)
