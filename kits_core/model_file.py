"""A model as one file: networks, settings, scores and lineage in a zip, each part with its SHA-256 in a manifest.

The hashes detect damage, not forgery: whoever can write the file can write its manifest too.
"""

import hashlib
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kits_core.disk import check_room
from kits_core.errors import KitsError
from kits_core.files import sha256_of, written_aside

SUFFIX = ".kits.zip"
NETWORK, RECORD, RECIPE, CONFIG, CARD = "network.keras", "model.json", "recipe.json", "config.json", "README.md"
RANGE = "training_range.json"
FOLDERS = "imported_*"
"""Where imported models lie among the runs; the star stands for the beginning of the network's SHA-256."""
PLAIN, FLIPPED = "plain", "flipped"
VERSION = 1

_MANIFEST = "manifest.json"
_CHUNK_BYTES = 1 << 20
_MOST_TEXT_BYTES = 50_000_000
_PART = re.compile(rf"model_[1-9]/({'|'.join(map(re.escape, (NETWORK, RECORD, RECIPE, CONFIG, CARD, RANGE)))})")
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, KeyError, ValueError, RuntimeError, NotImplementedError)
T = TypeVar("T", bound=BaseModel)


class Origin(BaseModel):
    """Where an imported model was trained, as text: no patient and no case is named.

    `forgotten_cases`: how many of those that it has learnt were removed for good there. `locator`: SHA-256 of the model
    that finds the kidneys for it. `cleanup`: of `PLAIN` and `FLIPPED` predictions, as
    `kits_core.inference.cleanup.Choice` writes it. `scores`: rows of the view `leaderboard`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    dataset: str
    source: str
    licence: str = ""
    train_cases: int
    validation_cases: int
    split_seed: int
    split_hash: str
    strata: tuple[str, ...] = ()
    run_id: int
    model_id: int
    forgotten_cases: int = Field(0, ge=0)
    locator: str | None = None
    cleanup: dict[str, dict[str, Any]] = Field(default_factory=dict)
    scores: tuple[dict[str, Any], ...] = ()
    software: str
    exported_at: str
    imported_at: str | None = None
    file: str | None = None

    @property
    def sentence(self) -> str:
        """Where it comes from, as a sentence."""
        return (
            f"imported from a file ({self.file}, SHA-256): model {self.model_id} of another home, trained there on "
            f"{self.train_cases} and validated on {self.validation_cases} cases of {self.dataset} ({self.source}), "
            "which are not here"
        )


class ModelRecord(BaseModel):
    """What a catalog knows of a model and its run. `history`: values of each epoch, `epoch` among them."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    data_hash: str
    epoch: int = Field(ge=0)
    score: float = Field(allow_inf_nan=False)
    parameters: int = Field(ge=0)
    environment: dict[str, str]
    history: tuple[dict[str, float], ...]
    started_at: datetime
    ended_at: datetime | None
    origin: Origin


class _Part(BaseModel):
    bytes: int = Field(ge=0)
    sha256: str


class _Manifest(BaseModel):
    format: Literal["kits model"]
    version: int
    software: str
    models: int = Field(ge=1, le=9)
    parts: dict[str, _Part]


Parts = Mapping[str, Path | str]
"""The parts of one model by their names (`NETWORK`, ...): a file, or a text."""


def write_model_file(out: Path, models: Sequence[Parts], software: str) -> None:
    """Write models into one file, whole or not at all. The last is the main one; it needs the others."""
    parts = {f"model_{number}/{name}": part for number, one in enumerate(models, 1) for name, part in one.items()}
    room = sum(part.stat().st_size if isinstance(part, Path) else len(part.encode()) for part in parts.values())
    check_room(out.parent, room, "the model's file")
    listed = {name: _part(part) for name, part in parts.items()}
    manifest = _Manifest(format="kits model", version=VERSION, software=software, models=len(models), parts=listed)
    with written_aside(out) as aside, zipfile.ZipFile(aside, "w", zipfile.ZIP_STORED) as packed:
        packed.writestr(_MANIFEST, manifest.model_dump_json(indent=2))
        for name, part in parts.items():
            if isinstance(part, Path):
                packed.write(part, name)
            else:
                packed.writestr(name, part)


def _part(part: Path | str) -> _Part:
    if isinstance(part, Path):
        return _Part(bytes=part.stat().st_size, sha256=sha256_of(part))
    return _Part(bytes=len(part.encode()), sha256=hashlib.sha256(part.encode()).hexdigest())


class ModelFile:
    """A model file that is open; see `open_model_file`."""

    def __init__(self, path: Path, packed: zipfile.ZipFile) -> None:
        self._path, self._packed = path, packed
        names = packed.namelist()
        if _MANIFEST not in names:
            raise _no_model_file(path, "another zip file, or one that is cut off")
        raw = self._read_text(_MANIFEST)
        version = _version_in(raw)
        if version is not None and version > VERSION:
            raise KitsError(
                f"{path}: expected a model file of version {VERSION} at most, got version {version}; a newer release "
                "of this software wrote it, so update this installation"
            )
        self._manifest = self._parsed(_Manifest, _MANIFEST, raw)
        wanted = {_MANIFEST, *self._manifest.parts}
        if sorted(names) != sorted(wanted) or not all(map(_PART.fullmatch, self._manifest.parts)):
            raise _no_model_file(path, "other parts than its manifest lists")
        needed = {f"model_{n}/{part}" for n in self.numbers for part in (NETWORK, RECORD, RECIPE, CONFIG, CARD)}
        if missing := sorted(needed - wanted):
            raise _no_model_file(path, f"one without {missing[0]}")

    @property
    def numbers(self) -> range:
        """One entry for each model; the last one is the main model."""
        return range(1, self._manifest.models + 1)

    def record(self, number: int) -> ModelRecord:
        """The record of a model. Raises `KitsError` as `text` does, and for an incomplete record."""
        name = f"model_{number}/{RECORD}"
        record = self._parsed(ModelRecord, name, self.text(number, RECORD))
        if record.sha256 != self._manifest.parts[f"model_{number}/{NETWORK}"].sha256:
            raise _no_model_file(self._path, f"in {name} the SHA-256 of another network")
        return record

    def text(self, number: int, part: str) -> str:
        """A part as text. Raises `KitsError` where it differs from the manifest."""
        name = f"model_{number}/{part}"
        text = self._read_text(name)
        if _part(text) != self._manifest.parts[name]:
            raise _no_model_file(self._path, f"another {name} than its manifest says")
        return text

    def unpack(self, number: int, folder: Path) -> None:
        """Write all parts of a model to a folder. Raises `KitsError` where one differs from the manifest."""
        head = f"model_{number}/"
        parts = {name: part for name, part in self._manifest.parts.items() if name.startswith(head)}
        check_room(folder, sum(part.bytes for part in parts.values()), "the model")
        for name, part in parts.items():
            with written_aside(folder / name.removeprefix(head)) as aside:
                digest = hashlib.sha256()
                with aside.open("wb") as file:
                    for chunk in self._chunks(name, part.bytes):
                        digest.update(chunk)
                        file.write(chunk)
                if digest.hexdigest() != part.sha256:
                    raise _no_model_file(self._path, f"another {name} than its manifest says")

    def _chunks(self, name: str, most: int) -> Iterator[bytes]:
        """A part's content. Reading stops at the stated size, however much the part unpacks to."""
        left = most
        try:
            with self._packed.open(name) as file:
                while chunk := file.read(_CHUNK_BYTES):
                    left -= len(chunk)
                    if left < 0:
                        raise _no_model_file(self._path, f"a longer {name} than its manifest says")
                    yield chunk
        except _DAMAGED as error:
            raise _no_model_file(self._path, f"a {name} that cannot be read ({error})") from error

    def _read_text(self, name: str) -> str:
        try:
            return b"".join(self._chunks(name, _MOST_TEXT_BYTES)).decode()
        except UnicodeDecodeError as error:
            raise _no_model_file(self._path, f"a {name} that is no text") from error

    def _parsed(self, kind: type[T], name: str, text: str) -> T:
        try:
            return kind.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise _no_model_file(self._path, f"a {name} that is not understood ({where}: {first['msg']})") from error


@contextmanager
def open_model_file(path: Path) -> Iterator[ModelFile]:
    """A model file to read from. Raises `KitsError` for any other file, a damaged one, and one of a newer release."""
    if not path.is_file():
        raise KitsError(f"{path}: expected a file that kits export model wrote, got no file; give its path")
    try:
        packed = zipfile.ZipFile(path)
    except _DAMAGED as error:
        raise _no_model_file(path, f"one that is no zip file, or is cut off ({error})") from error
    with packed:
        yield ModelFile(path, packed)


def _version_in(manifest: str) -> int | None:
    found = re.search(r'"version"\s*:\s*(\d{1,9})', manifest)
    return int(found[1]) if found else None


def _no_model_file(path: Path, got: str) -> KitsError:
    return KitsError(
        f"{path}: expected a whole file as kits export model writes it, got {got}; copy it again from where it was made"
    )
