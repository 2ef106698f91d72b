"""A real browser for the pages that people open."""

import shutil

import pytest
from playwright.sync_api import sync_playwright

# Software rendering, for machines without a graphics card.
_FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


@pytest.fixture(scope="session")
def serious():
    """What axe-core finds wrong with a page in a browser that keeps someone from using it: rules and elements."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()

    def find(page):
        found = axe.run(page).response["violations"]
        return {one["id"]: [node["target"] for node in one["nodes"]] for one in found if one["impact"] != "minor"}

    return find


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium, closed with its module: its event loop runs in the thread of the tests."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_FLAGS)
        yield browser
        browser.close()
