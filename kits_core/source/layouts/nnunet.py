"""nnU-Net's raw folders: `imagesTr/case_0000.nii.gz`, `labelsTr/case.nii.gz` and `dataset.json`, of version 1 and 2.

Source: nnU-Net's documentation, `dataset_format.md`.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kits_core.case_names import folder_name
from kits_core.errors import CaseError, KitsError
from kits_core.labels import Label
from kits_core.scan.endings import ENDINGS, stem_of
from kits_core.source.layout import (
    Contents,
    Layout,
    ListedSource,
    Reading,
    by_name,
    meanings,
    pair_up,
    put,
    read_json,
)
from kits_core.source.location import CaseLocations

DESCRIPTION = "dataset.json"
IMAGES, LABELS, TEST_IMAGES, TEST_LABELS = "imagesTr", "labelsTr", "imagesTs", "labelsTs"
SPLITS = "splits_final.json"
_ENDING = ".nii"
_CHANNEL = re.compile(r"(.+)_([0-9]{4})")
_MASSES = frozenset({"mass", "masses"})


def find(folder: Path, reading: Reading) -> ListedSource | None:
    """The source that a folder is. Raises `KitsError` for several channels and for labels that mean nothing here."""
    description = folder / DESCRIPTION
    if not (description.is_file() and (folder / IMAGES).is_dir()):
        return None
    facts = read_json(description)
    images = [*_images(folder / IMAGES), *_images(folder / TEST_IMAGES)]
    if "channel_names" not in facts and not images:
        return None  # whose images have no number of a channel: the Decathlon's
    _check_channels(description, facts)
    masks = [*_masks(folder / LABELS), *_masks(folder / TEST_LABELS)]
    ending = facts.get("file_ending")
    if isinstance(ending, str) and ending.lower() not in ENDINGS:
        raise KitsError(f"{description}: expected files that end in {', '.join(ENDINGS)}, got {ending}; convert them")
    return ListedSource(
        folder,
        LAYOUT.name,
        _cases_of(folder, by_name(images), by_name(masks)),
        _values(description, facts, reading),
        _notes(folder),
    )


def _images(folder: Path) -> list[tuple[str, Path]]:
    """Case and file of the first channel of each image."""
    matches = [(_CHANNEL.fullmatch(stem_of(file) or ""), file) for file in _files(folder)]
    for match, file in matches:
        if match is not None and int(match[2]) > 0:
            raise KitsError(f"{file}: expected CT alone, whose files end in _0000, got another channel; remove it")
    return [(match[1], file) for match, file in matches if match is not None]


def _masks(folder: Path) -> list[tuple[str, Path]]:
    return [(stem, file) for file in _files(folder) if (stem := stem_of(file)) is not None]


def _files(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.iterdir()) if not file.name.startswith(".")] if folder.is_dir() else []


def _cases_of(folder: Path, images: dict[str, Path], masks: dict[str, Path]) -> dict[str, CaseLocations | CaseError]:
    if not images:
        raise KitsError(f"{folder / IMAGES}: expected images like case_0000.nii.gz, got none; add the scans")
    return pair_up(images, masks)


def _check_channels(description: Path, facts: Mapping[str, Any]) -> None:
    channels = facts.get("channel_names", facts.get("modality"))
    if isinstance(channels, dict) and len(channels) > 1:
        raise KitsError(f"{description}: expected one channel, CT, got {channels}; take a dataset of CT alone")


def _values(description: Path, facts: Mapping[str, Any], reading: Reading) -> dict[int, Label]:
    """Version 2 has values by name, and for regions lists of them; version 1 has names by value."""
    named = facts.get("labels")
    if not isinstance(named, dict) or not named:
        raise KitsError(f"{description}: expected labels, with a value for each name, got none; add them")
    try:
        if all(isinstance(name, str) and name.isdecimal() for name in named):
            return meanings(description, {int(value): str(name) for value, name in named.items()}, reading.labels)
        members = {
            str(name): frozenset(int(value) for value in (values if isinstance(values, list) else [values]))
            for name, values in named.items()
            if name != "ignore"
        }
    except (TypeError, ValueError):
        raise KitsError(
            f"{description}: expected whole numbers, or lists of them, as labels, got {named}; correct the file"
        ) from None
    return meanings(description, _names_of_values(members), reading.labels)


def _names_of_values(members: Mapping[str, frozenset[int]]) -> dict[int, str]:
    """The name of each value: of the smallest region that it is in.

    Of what is a mass and not a tumour KiTS knows one thing alone, the cyst.
    """
    names = {}
    for value in sorted(frozenset().union(*members.values())):
        smallest = min((name for name in members if value in members[name]), key=lambda name: len(members[name]))
        is_rest = smallest.casefold() in _MASSES and any(
            len(other) < len(members[smallest]) and other < members[smallest] for other in members.values()
        )
        names[value] = "cyst" if is_rest else smallest
    return names


def _notes(folder: Path) -> tuple[str, ...]:
    file = folder / SPLITS
    return (f"own folds were found; kits split --from {file} takes them",) if file.is_file() else ()


def write(out: Path, contents: Contents, on_case: Callable[[str], None]) -> None:
    """Version 2: cases with a mask to train on, the others as test; `splits_final.json` where there are folds."""
    for case in contents.cases:
        name = folder_name(case.name)
        put(case.image, out / (IMAGES if case.mask else TEST_IMAGES) / f"{name}_0000{_ENDING}")
        if case.mask is not None:
            put(case.mask, out / LABELS / f"{name}{_ENDING}", is_mask=True)
        on_case(case.name)
    facts = {
        "name": contents.name,
        "channel_names": {"0": "CT"},
        "labels": {label.name.lower(): int(label) for label in Label},
        "numTraining": sum(case.mask is not None for case in contents.cases),
        "file_ending": _ENDING,
    }
    (out / DESCRIPTION).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    if contents.folds:
        folds = [
            {"train": [*map(folder_name, train)], "val": [*map(folder_name, held_out)]}
            for train, held_out in contents.folds
        ]
        (out / SPLITS).write_text(json.dumps(folds, indent=2) + "\n", encoding="utf-8")


LAYOUT = Layout("nnunet", f"{DESCRIPTION}, {IMAGES}/ and {LABELS}/, as nnU-Net has them", find, write=write)
