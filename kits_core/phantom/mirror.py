"""An imitation, on loopback, of the hosts of KiTS23: images behind a redirect to signed storage, labels apart."""

import re
import secrets
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

from kits_core.phantom.dataset import IMAGE_NAME
from kits_core.phantom.faults import Fault
from kits_core.phantom.server import DatasetServer, Hashes
from kits_core.source.preset import Kits23Addresses

REVISION = "v-test"
_REPOSITORY = "/datasets/someone/images/resolve"
_IMAGE = re.compile(r"/datasets/someone/images/resolve/([^/]+)/images/(case_\d{5})\.nii\.gz")
_LABEL = re.compile(r"/([^/]+)/dataset/(.+)")


class _Storage(DatasetServer):
    """Answers signed addresses alone, with an ETag of its own kind."""

    def __init__(self, root: Path, faults: list[Fault], secret: str) -> None:
        super().__init__(root, faults, hashes=Hashes.NONE)
        self._secret = secret

    def find(self, target: str) -> tuple[str, Path | None]:
        path, file = super().find(target)
        signature = parse_qs(urlsplit(target).query).get("X-Signature", [""])[0]
        return path, file if signature == sign(path, self._secret) else None


class _Hub(DatasetServer):
    """Redirects every image to the storage, and says on the way which file that is."""

    def __init__(self, root: Path, faults: list[Fault], storage: _Storage, secret: str) -> None:
        super().__init__(root, faults)
        self._storage, self._secret = storage, secret

    def redirect(self, target: str) -> dict[str, str] | None:
        found = _IMAGE.fullmatch(unquote(urlsplit(target).path))
        if found is None or found[1] != REVISION:
            return None
        path = f"{found[2]}/{IMAGE_NAME}"
        file = self.root / path
        if not file.is_file():
            return None
        return {
            "Location": f"{self._storage.address}/{path}?X-Signature={sign(path, self._secret)}&Expires=600",
            "X-Linked-ETag": f'"{self.sha256(file)}"',
            "X-Linked-Size": str(file.stat().st_size),
        }

    def find(self, target: str) -> tuple[str, Path | None]:
        return unquote(urlsplit(target).path).lstrip("/"), None


class _Labels(DatasetServer):
    """Raw files of a repository, by revision."""

    def find(self, target: str) -> tuple[str, Path | None]:
        found = _LABEL.fullmatch(unquote(urlsplit(target).path))
        path, file = super().find(found[2] if found else "")
        return path, file if found is not None and found[1] == REVISION else None


class Kits23Mirror:
    """Both hosts and the storage behind the first, over a folder in the official layout, as a context manager.

    `image_faults` happen on the image host, `storage_faults` where its images lie, `label_faults` on the other host.
    """

    def __init__(
        self,
        root: Path,
        *,
        image_faults: list[Fault] | None = None,
        storage_faults: list[Fault] | None = None,
        label_faults: list[Fault] | None = None,
    ) -> None:
        secret = secrets.token_hex(8)
        self.storage = _Storage(root, storage_faults or [], secret)
        self.images = _Hub(root, image_faults or [], self.storage, secret)
        self.labels = _Labels(root, label_faults or [], hashes=Hashes.OTHER)
        self._stack = ExitStack()

    @property
    def addresses(self) -> Kits23Addresses:
        """The addresses that replace the real hosts in the preset."""
        return Kits23Addresses(f"{self.images.address}{_REPOSITORY}", REVISION, self.labels.address, REVISION)

    def __enter__(self) -> Self:
        for server in (self.storage, self.images, self.labels):
            self._stack.enter_context(server)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()


def sign(path: str, secret: str) -> str:
    """The signature that the storage asks for a path."""
    return sha256(f"{path}{secret}".encode()).hexdigest()[:32]
