"""Images and masks in two folders, or in one, matched by name."""

import re
from collections.abc import Callable
from pathlib import Path

from kits_core.case_names import folder_name
from kits_core.errors import KitsError
from kits_core.scan.endings import ENDINGS, stem_of
from kits_core.source.layout import (
    PLACE,
    Contents,
    Layout,
    ListedSource,
    Reading,
    by_name,
    check_pattern,
    pair_up,
    put,
    stated_values,
)

_IMAGES = ("images", "image", "imaging", "scans", "ct")
_MASKS = ("masks", "mask", "labels", "label", "segmentations", "segmentation", "seg")
_SUFFIX = re.compile(r"[._-](?:seg|mask|label|labels|segmentation)$", re.IGNORECASE)


def find(folder: Path, reading: Reading) -> ListedSource | None:
    """The source that a folder is: by the patterns that were said, or by usual names of its folders.

    Raises `KitsError` for patterns that no file fits, and for two files of one case.
    """
    if reading.images is not None:
        images = by_name(_fitting(folder, reading.images))
        if not images:
            raise KitsError(f"{folder}: expected files that fit {reading.images}, got none; correct the pattern")
        masks = by_name(_fitting(folder, reading.masks)) if reading.masks is not None else {}
        if reading.masks is not None and not masks:
            raise KitsError(f"{folder}: expected files that fit {reading.masks}, got none; correct the pattern")
    else:
        places = {entry.name.lower(): entry for entry in sorted(folder.iterdir()) if entry.is_dir()}
        scans = next((places[name] for name in _IMAGES if name in places), None)
        drawn = next((places[name] for name in _MASKS if name in places), None)
        if scans is None or drawn is None:
            return None
        images = by_name([(stem, file) for file, stem in _stems(scans)])
        masks = by_name([(_of_image(stem, images), file) for file, stem in _stems(drawn)])
        if not images:
            return None
    return ListedSource(folder, LAYOUT.name, pair_up(images, masks), stated_values(folder, reading.labels))


def _fitting(folder: Path, pattern: str) -> list[tuple[str, Path]]:
    """Case and file of all that fit a pattern."""
    below, _, name = check_pattern(pattern).rpartition("/")
    before, _, after = name.partition(PLACE)
    shape = re.compile(f"{re.escape(before)}(.+){re.escape(after)}")
    place = folder / below
    if not place.is_dir():
        raise KitsError(f"{place}: expected a folder, got none; correct the pattern {pattern}")
    files = [(shape.fullmatch(file.name), file) for file in sorted(place.iterdir()) if file.is_file()]
    return [
        (_without_ending(match[1]), file) for match, file in files if match is not None and stem_of(file) is not None
    ]


def _without_ending(case: str) -> str:
    """Where a pattern ends with `{case}`, so that the file's ending is in it."""
    return stem_of(Path(case)) or case


def _stems(folder: Path) -> list[tuple[Path, str]]:
    files = (file for file in sorted(folder.iterdir()) if file.is_file() and not file.name.startswith("."))
    return [(file, stem) for file in files if (stem := stem_of(file)) is not None]


def _of_image(stem: str, images: dict[str, Path]) -> str:
    """The case of a mask: the image's name, or that with `_seg` and the like behind it."""
    bare = _SUFFIX.sub("", stem)
    return bare if stem not in images and bare in images else stem


def write(out: Path, contents: Contents, on_case: Callable[[str], None]) -> None:
    """`images/` and `masks/`, with the values of KiTS."""
    for case in contents.cases:
        file = f"{folder_name(case.name)}.nii"
        put(case.image, out / _IMAGES[0] / file)
        if case.mask is not None:
            put(case.mask, out / _MASKS[0] / file, is_mask=True)
        on_case(case.name)


LAYOUT = Layout(
    "pairs",
    f"a folder {_IMAGES[0]}/ and one {_MASKS[0]}/ (or labels/, segmentations/) with files of one name that end in "
    f"{', '.join(ENDINGS)}; or --images and --masks with patterns",
    find,
    write=write,
)
