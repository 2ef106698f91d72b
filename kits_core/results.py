"""Results in a user's folder: files that a person put there, or changed, are never replaced or removed.

Results are made in a working folder beside it, and put in place when all of them are whole. A note beside them says
what was written, by hash. A page that stands alone has its hash in its own last line.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path

from kits_core.errors import CaseError
from kits_core.files import sha256_of, write_text_atomically, written_aside

NOTE = "kits-files.json"
"""Name of the note: a JSON object from each file's path in the folder to the hashes that it was written with."""

_SEAL = "<!-- written by kits; SHA-256 of all before this line: "


def sealed(page: str) -> str:
    """An HTML page with a last line that shows whether the page was changed later."""
    body = f"{page}\n"
    return f"{body}{_SEAL}{hashlib.sha256(body.encode()).hexdigest()} -->\n"


def set_aside_page(path: Path) -> Path | None:
    """Rename a page that is no longer as `sealed` made it, to `page.kept-1.html`. Returns the name, or None.

    Such a page was changed by someone, or is from a release that did not seal pages.
    """
    if not path.exists() and not path.is_symlink():
        return None
    body, _, seal = path.read_bytes().rpartition(_SEAL.encode()) if path.is_file() else (b"", b"", b"")
    if seal == f"{hashlib.sha256(body).hexdigest()} -->\n".encode() and not path.is_symlink():
        return None
    names = (path.with_name(f"{path.stem}.kept-{number}{path.suffix}") for number in count(1))
    kept = next(name for name in names if not name.exists() and not name.is_symlink())
    return path.rename(kept)


def working_folder(folder: Path) -> Path:
    """Where the results for `folder` are made. It is always the same, so that work goes on there after a kill."""
    return folder.with_name(f".{folder.name}.partial")


def check_replaceable(case: str, folder: Path, names: Iterable[str], last: str) -> None:
    """Raise `CaseError` if `folder` holds a file of `names`, or of its note, that is someone else's.

    That is one that is not in the note, or has another content than the note says. In a folder without a note, from
    before there were notes, the file `last` must be there, and be the youngest, as the one that is written last.
    """
    others = _others(folder, names, last)
    if others:
        raise CaseError(
            case,
            expected=f"no file of someone else's where its results go, {folder}",
            got=f"{', '.join(others)}, which kits did not write or which was changed since",
            next_step="nothing was changed; keep it under another name, or choose another --out",
        )


def put_in_place(case: str, work: Path, folder: Path, last: str) -> None:
    """Copy all files of `work` to `folder`, `last` as the last, and remove what earlier results had beyond them.

    `work` stays, in case this must be repeated. After a kill, `last` is not in `folder`, and the next call goes on.
    Raises `CaseError` as `check_replaceable`.
    """
    made = {path.relative_to(work).as_posix(): path for path in sorted(work.rglob("*")) if path.is_file()}
    check_replaceable(case, folder, made, last)
    folder.mkdir(parents=True, exist_ok=True)
    before, hashes = _noted(folder), {name: sha256_of(path) for name, path in made.items()}
    both = {name: sorted({*before.get(name, ()), hashes[name]}) for name in made}
    _write_note(folder, before | both)
    (folder / last).unlink(missing_ok=True)
    for name in sorted(before.keys() - made.keys()):
        (folder / name).unlink(missing_ok=True)
    for name in sorted(made, key=lambda name: name == last):
        with written_aside(folder / name) as aside:
            shutil.copyfile(made[name], aside)
    _write_note(folder, {name: [sha256] for name, sha256 in hashes.items()})


def others_in(folder: Path, names: Iterable[str], last: str) -> list[Path]:
    """Files of `names`, or of the folder's note, that kits did not write or that were changed since."""
    return [folder / name for name in _others(folder, names, last)]


def remove_results(folder: Path, names: Iterable[str], last: str) -> None:
    """Remove what `put_in_place` wrote to a folder and nobody has changed since; the folder, too, if it is empty."""
    noted = _noted(folder)
    for name in sorted({*names, *noted}):
        if _is_ours(folder, name, noted, last) and name != last:
            (folder / name).unlink(missing_ok=True)
    if _is_ours(folder, last, noted, last):
        (folder / last).unlink(missing_ok=True)
    (folder / NOTE).unlink(missing_ok=True)
    shutil.rmtree(working_folder(folder), ignore_errors=True)
    for place in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
        with suppress(OSError):
            place.rmdir()
    with suppress(OSError):
        folder.rmdir()  # which an empty folder alone allows


def _others(folder: Path, names: Iterable[str], last: str) -> list[str]:
    noted = _noted(folder)
    return [name for name in sorted({*names, *noted}) if not _is_ours(folder, name, noted, last)]


def _is_ours(folder: Path, name: str, noted: dict[str, list[str]], last: str) -> bool:
    """Whether the folder has no such file, or one that kits wrote and nobody changed."""
    path = folder / name
    if path.is_symlink():
        return False
    if not path.exists():
        return True
    if noted:
        return path.is_file() and sha256_of(path) in noted.get(name, ())
    written = folder / last
    return written.is_file() and path.stat().st_mtime_ns <= written.stat().st_mtime_ns


def _noted(folder: Path) -> dict[str, list[str]]:
    try:
        found = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): list(hashes) for name, hashes in found.items()} if isinstance(found, dict) else {}


def _write_note(folder: Path, hashes: dict[str, list[str]]) -> None:
    write_text_atomically(folder / NOTE, json.dumps(hashes, indent=2, ensure_ascii=False) + "\n")
