"""Lists of checksums: `SHA256SUMS` of Unix and Windows tools, and the manifests of a BagIt bag."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

IMAGE_NAME, SEGMENTATION_NAME, RECORDS_NAME = "imaging.nii.gz", "segmentation.nii.gz", "kits23.json"
SUMS_NAMES = ("SHA256SUMS", "manifest-sha256.txt", "manifest-sha512.txt")
"""Lists that are looked for, as sha256sum writes them or as BagIt manifests (RFC 8493); the first counts."""
PREFIXES = ("", "dataset/", "data/", "data/dataset/")
"""Where the cases may lie below a source's root: at it, in the official folder, in a BagIt bag's payload."""

_LINE = re.compile(r"(?P<escaped>\\?)(?P<hash>[0-9a-fA-F]+)\s+\*?(?P<path>.+)")
_BSD_LINE = re.compile(
    r"(?P<escaped>\\?)SHA(?:2-)?(?:256|512)\s*\((?P<path>.+)\)\s*=\s*(?P<hash>[0-9a-f]+)", re.IGNORECASE
)
SHA256_DIGITS, SHA512_DIGITS = 64, 128
_ESCAPES = re.compile(r"\\([\\nr])")
_CASE_FILE = re.compile(rf"case_[0-9]{{5}}/(?:{re.escape(IMAGE_NAME)}|{re.escape(SEGMENTATION_NAME)})")
_OURS = frozenset({IMAGE_NAME, SEGMENTATION_NAME, RECORDS_NAME})
_SHOWN = 80


@dataclass(frozen=True)
class Sums:
    """What a list says of the layout's own files.

    `by_path`: hash in lower case by path below the cases' root: SHA-256, or SHA-512, which has twice its 64 digits.
    `prefix`: where that root lies below the list, one of `PREFIXES`. `notes`: what of the list is not used.
    """

    by_path: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""
    notes: tuple[str, ...] = ()

    @property
    def images(self) -> tuple[str, ...]:
        """Sorted names of the cases whose image is listed."""
        return tuple(sorted(path.partition("/")[0] for path in self.by_path if path.endswith(f"/{IMAGE_NAME}")))


def read_sums(text: str, name: str, prefixes: Collection[str] = PREFIXES) -> Sums:
    """A list of checksums, one file a line; `name`: the list's own file name, for the notes and the kind of hash.

    A line is `hash  path` or `hash *path`, with the backslash of sha256sum before names that it escapes, or BSD's
    `SHA256 (path) = hash`. Hashes may be in upper case; paths may begin with `./` and be divided by backslashes.
    Blank lines and those that begin with `#` or `;` are passed over. Of `prefixes`, the first below which an image is
    listed counts. Only the layout's own files are used, so that a name in the list cannot reach other files. Lines that
    are no checksum, or that name a file of the layout in another place, are counted in the notes.
    """
    digits = SHA512_DIGITS if "sha512" in name else SHA256_DIGITS
    listed: list[tuple[int, str, str]] = []
    unread: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        bare = line.strip().lstrip("\ufeff")
        if not bare or bare[0] in "#;":
            continue
        match = _BSD_LINE.fullmatch(bare) or _LINE.fullmatch(bare)
        if match is None or len(match["hash"]) != digits:
            unread.append((number, bare))
        else:
            listed.append((number, match["hash"].lower(), _path(match)))
    prefix = _prefix([path for _, _, path in listed], prefixes)
    by_path: dict[str, str] = {}
    twice: set[str] = set()
    for number, digest, path in listed:
        below = path.removeprefix(prefix)
        if path.startswith(prefix) and (below == RECORDS_NAME or _CASE_FILE.fullmatch(below)):
            if by_path.setdefault(below, digest) != digest:
                twice.add(below)
        elif path.rpartition("/")[2] in _OURS:
            unread.append((number, path))
    notes = (*_unread_note(name, sorted(unread)), *_twice_note(name, sorted(twice)))
    return Sums(by_path, prefix, notes)


def _path(match: re.Match[str]) -> str:
    path = match["path"]
    if match["escaped"]:
        path = _ESCAPES.sub(lambda found: {"n": "\n", "r": "\r"}.get(found[1], found[1]), path)
    return path.replace("\\", "/").removeprefix("./")


def _prefix(paths: Iterable[str], prefixes: Collection[str]) -> str:
    paths = list(paths)
    for prefix in prefixes:
        if any(path.startswith(prefix) and _CASE_FILE.fullmatch(path.removeprefix(prefix)) for path in paths):
            return prefix
    return next(iter(prefixes))


def _unread_note(name: str, unread: list[tuple[int, str]]) -> list[str]:
    if not unread:
        return []
    number, line = unread[0]
    count = "1 line is" if len(unread) == 1 else f"{len(unread)} lines are"
    shown = line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."
    met = f"{name}: {count} no checksum of a file of the layout, and not used: the first is line {number}, {shown!r}"
    return [f"{met}; write the list again with sha256sum in the folder that holds it"]


def _twice_note(name: str, twice: list[str]) -> list[str]:
    if not twice:
        return []
    return [f"{name}: different hashes for {', '.join(twice[:3])} ({len(twice)} files); the first of each counts"]
