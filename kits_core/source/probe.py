"""Asks a source about a file without downloading it: has it changed, how large is it, how large will it be?"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import httpx

from kits_core.errors import CaseError
from kits_core.source.http import Answer, check_status, whole
from kits_core.source.nifti import NiftiReader, is_packed, most_bytes

PROBE_BYTES = 2048
"""Bytes of a file that are read: a gzipped NIfTI header takes a few hundred."""

_UNPACKED_BYTES = 1 << 16


@dataclass(frozen=True)
class Known:
    """What the source said about a file when it was fetched: its ETag and time, and the archive's size."""

    etag: str | None
    last_modified: str | None
    bytes: int


@dataclass(frozen=True)
class Probe:
    """What a source says of a file now.

    `voxels`: from the NIfTI header; None where none was sent or could be read, or the file is too short for them.
    """

    changed: bool
    bytes: int | None
    etag: str | None
    last_modified: str | None
    voxels: int | None


def stamp(path: Path) -> str:
    """What changes when a file of a folder does: its size and the nanosecond of its last change."""
    facts = path.stat()
    return f"{facts.st_size}-{facts.st_mtime_ns}"


def conditions(known: Known | None) -> dict[str, str]:
    """Headers that ask for a file's start, and for that only if it has changed."""
    headers = {"Range": f"bytes=0-{PROBE_BYTES - 1}"}
    if known is not None and known.etag:
        headers["If-None-Match"] = known.etag
    elif known is not None and known.last_modified:
        headers["If-Modified-Since"] = known.last_modified
    return headers


def says_enough(answer: Answer, known: Known | None) -> bool:
    """Whether a redirect already tells that the file is the one that is known."""
    return known is not None and known.etag is not None and answer.linked_etag == known.etag


def read_answer(url: str, answer: Answer, known: Known | None) -> Probe:
    """What an answer to `conditions` says. Raises `TransferError` for a status that is none of success."""
    response = answer.response
    etag = answer.linked_etag or response.headers.get("ETag")
    modified = response.headers.get("Last-Modified")
    if response.status_code == httpx.codes.NOT_MODIFIED or says_enough(answer, known):
        return Probe(
            changed=False, bytes=known.bytes if known else None, etag=etag, last_modified=modified, voxels=None
        )
    if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:  # an empty file has no first byte
        return Probe(changed=True, bytes=0, etag=etag, last_modified=modified, voxels=None)
    check_status(url, response)
    size = _size(answer)
    if known is not None and _same(known, etag, modified, size):
        return Probe(changed=False, bytes=size, etag=etag, last_modified=modified, voxels=None)
    return Probe(changed=True, bytes=size, etag=etag, last_modified=modified, voxels=voxels_of(_start(response), size))


def probe_file(path: Path, known: Known | None) -> Probe:
    """The same for a file of a folder. Raises `OSError`."""
    etag = stamp(path)
    if known is not None and known.etag == etag:
        return Probe(changed=False, bytes=known.bytes, etag=etag, last_modified=None, voxels=None)
    with path.open("rb") as file:
        start = file.read(PROBE_BYTES)
    size = path.stat().st_size
    return Probe(changed=True, bytes=size, etag=etag, last_modified=None, voxels=voxels_of(start, size))


def voxels_of(start: bytes, size: int | None) -> int | None:
    """Voxels by the header at the start of a NIfTI file of `size` bytes, gzipped or not; None if that is no header.

    Also None for more voxels than the file can hold: the full read will report that.
    """
    packed = is_packed(start)
    try:
        unpacked = zlib.decompressobj(wbits=47).decompress(start, _UNPACKED_BYTES) if packed else start
        room = None if size is None else most_bytes(size, packed=packed)
        return NiftiReader(Path("header"), "header", BytesIO(unpacked), room=room).facts.voxels
    except (CaseError, zlib.error):
        return None


def _same(known: Known, etag: str | None, modified: str | None, size: int | None) -> bool:
    """For servers that ignore the conditions. Without an ETag or time, the size alone decides."""
    if known.etag and etag:
        return _strong(known.etag) == _strong(etag)
    if known.last_modified and modified:
        return known.last_modified == modified and size in (None, known.bytes)
    return size == known.bytes


def _strong(etag: str) -> str:
    return etag.removeprefix("W/")


def _size(answer: Answer) -> int | None:
    headers: Mapping[str, str] = answer.response.headers
    if answer.response.status_code == httpx.codes.PARTIAL_CONTENT:
        size = whole(headers.get("Content-Range", "").rpartition("/")[2])
    else:
        size = whole(headers.get("Content-Length"))
    return answer.linked_size if size is None else size


def _start(response: httpx.Response) -> bytes:
    start = b""
    for chunk in response.iter_raw():
        start += chunk
        if len(start) >= PROBE_BYTES:
            break
    return start
