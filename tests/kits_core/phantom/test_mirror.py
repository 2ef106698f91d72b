import hashlib

import httpx
import pytest

from kits_core.phantom.dataset import write_phantoms
from kits_core.phantom.mirror import Kits23Mirror


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    root = tmp_path_factory.mktemp("mirror")
    write_phantoms(root, 2, 1, shape=(24, 32, 32), spacing_mm=(8.0, 8.0, 8.0))
    with Kits23Mirror(root) as running:
        yield running


def test_an_image_is_redirected_to_a_signed_address_and_told_on_the_way(mirror):
    hop = httpx.get(mirror.addresses.image("case_00001"))
    whole = httpx.get(hop.headers["Location"])
    assert hop.status_code == 302
    assert hop.headers["X-Linked-ETag"] == f'"{hashlib.sha256(whole.content).hexdigest()}"'
    assert int(hop.headers["X-Linked-Size"]) == len(whole.content)
    assert whole.headers["ETag"] != hop.headers["X-Linked-ETag"]
    assert httpx.get(hop.headers["Location"], headers={"Range": "bytes=5-9"}).content == whole.content[5:10]
    assert httpx.get(hop.headers["Location"].replace("X-Signature=", "X-Signature=0")).status_code == 404


def test_a_segmentation_has_an_etag_that_is_no_hash_of_it(mirror):
    answer = httpx.get(mirror.addresses.segmentation("case_00000"))
    etag = answer.headers["ETag"]
    assert len(etag) == 66
    assert etag != f'"{hashlib.sha256(answer.content).hexdigest()}"'
    assert "X-Linked-ETag" not in answer.headers
    url = mirror.addresses.segmentation("case_00000")
    assert httpx.get(url, headers={"If-None-Match": etag}).status_code == 304
    assert httpx.get(mirror.addresses.clinical()).json()[0]["case_id"] == "case_00000"


@pytest.mark.parametrize("kind", ["image", "segmentation"])
def test_another_revision_or_case_is_not_there(mirror, kind):
    url = getattr(mirror.addresses, kind)("case_00000")
    assert httpx.get(url.replace("v-test", "main")).status_code == 404
    assert httpx.get(url.replace("case_00000", "case_00009")).status_code == 404
