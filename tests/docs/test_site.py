"""The documentation as pages: it builds strictly, needs no other host, and answers what newcomers ask."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="mkdocs is not installed; the extra docs has it")
pytest.importorskip("material", reason="mkdocs-material is not installed; the extra docs has it")
pytest.importorskip("mkdocstrings", reason="mkdocstrings is not installed; the extra docs has it")

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
# What a newcomer types into the search box, and the page that answers it.
QUESTIONS = {
    "import SEG labels": "data.html",
    "longer training": "how-to/longer.html",
    "fine-tune": "how-to/fine-tune.html",
    "own folds": "data.html",
    "TensorBoard": "how-to/tensorboard.html",
    "settings of a run": "how-to/settings-of-a-run.html",
    "delete a patient": "patients.html",
    "send to PACS": "how-to/dicom.html",
    "figure for a paper": "how-to/figures.html",
    "disk needed for KiTS23": "tutorials/kits23.html",
    "notebook": "how-to/notebook.html",
    "why was a case refused": "troubleshooting.html",
}
_RESULTS_LOOKED_AT = 3


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built pages; `--strict` makes a broken link, a missing anchor and a page outside the menu an error."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, env=os.environ | {"PYTHONUTF8": "1", "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


class _Loaded(HTMLParser):
    """Addresses that a page loads by itself: scripts, styles, pictures, frames. Links to follow are not among them."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        if tag == "link" and named.get("rel") not in {"next", "prev", "canonical"}:
            self.addresses.append(named.get("href"))
        self.addresses += [named[key] for key in ("src", "srcset", "data") if named.get(key)]


def test_no_page_loads_anything_from_another_host(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        seen = _Loaded()
        seen.feed(page.read_text(encoding="utf-8"))
        assert seen.addresses
        for address in seen.addresses:
            assert not re.match(r"(https?:)?//", address), (page.name, address)
            if not address.startswith("data:"):
                base = site if address.startswith("/") else page.parent
                assert (base / address.lstrip("/").partition("#")[0].partition("?")[0]).exists(), (page.name, address)
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", style.read_text(encoding="utf-8")), style.name


def test_diagrams_are_pictures_and_not_code(site):
    for page in site.rglob("*.html"):
        assert not re.search(r"language-mermaid|\bclass=\"mermaid|erDiagram", page.read_text(encoding="utf-8")), (
            page.name
        )
    for name in ("catalog", "made-from"):
        assert (site / f"{name}.svg").read_text(encoding="utf-8").startswith("<svg")


def test_every_generated_page_is_there(site):
    from deployments.reference import pages

    for path in pages():
        assert (site / path).with_suffix(".html").is_file()
    python = (site / "reference/python.html").read_text(encoding="utf-8")
    assert 'id="kits_core.inference.predict.segment"' in python
    assert 'id="db.frames.query"' in python


def test_each_answer_is_two_clicks_from_the_front_page(site):
    assert 'href="how-to/index.html"' in (site / "index.html").read_text(encoding="utf-8")
    page = site / "how-to" / "index.html"
    article = re.search(r"<article.*?</article>", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r'<td><a href="([^"#]+)|, <a href="([^"#]+)', article[0])
    linked = {(page.parent / (one or other)).resolve().relative_to(site).as_posix() for one, other in links}
    assert set(QUESTIONS.values()) - linked == set()


def test_the_search_box_answers_what_newcomers_ask_from_a_file(site, browser):
    page = browser.new_page()
    requested = []
    page.on("request", lambda request: requested.append(request.url))
    box, result = page.locator("[data-md-component=search-query]"), page.locator("a.md-search-result__link")
    missed = {}
    for question, answer in QUESTIONS.items():
        page.goto((site / "index.html").as_uri())
        box.click()
        box.press_sequentially(question)
        page.locator(".md-search-result__meta", has_text="matching document").wait_for()
        result.first.wait_for(state="attached")
        found = [link.get_attribute("href").partition("?")[0] for link in result.all()]
        places = list(dict.fromkeys(address.removeprefix(site.as_uri()).lstrip("/") for address in found))
        if answer not in places[:_RESULTS_LOOKED_AT]:
            missed[question] = places
    page.close()
    assert missed == {}
    assert not [address for address in requested if not address.startswith("file:")]
