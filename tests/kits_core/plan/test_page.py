"""The page in a real browser: nothing is fetched, nothing fails, and what can be turned, turns."""

import io

import numpy as np
import pytest
from PIL import Image

from kits_core.geometry import Volume
from kits_core.plan.page import PageFacts, render
from kits_core.plan.plan import make_plan


@pytest.fixture(scope="module")
def plan_page(phantom, tmp_path_factory):
    """A page of two kidneys with a tumour and a cyst in a body, and the scan's facts."""
    solids = [
        (1, (60, 0, 10), (28, 25, 50)),
        (1, (-60, 0, 0), (28, 25, 50)),
        (2, (75, 0, 10), 18),
        (3, (-60, 0, 30), 8),
    ]
    labels = phantom.paint((3, 3, 3), solids)
    hu = np.full(labels.shape, -1000, np.int16)
    hu[3:-3, 3:-3, :] = 20
    hu[labels.data > 0] = 150
    facts = PageFacts("Surgical plan: <phantom>", "today", ["slices of 3 mm & more"], {"model": "7"})
    path = tmp_path_factory.mktemp("page") / "plan.html"
    path.write_text(render(make_plan("phantom", labels), Volume(hu, labels.affine), facts), encoding="utf-8")
    return path


@pytest.fixture
def shown(browser, plan_page):
    """The page as shown; what it asked for and what went wrong is checked at the end."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    asked, wrong = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.goto(plan_page.as_uri(), wait_until="load")
    page.wait_for_selector("#view3d canvas")
    page.wait_for_timeout(1500)
    yield page
    page.close()
    assert wrong == []
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [plan_page.as_uri()]


def _pixels(page, selector=".scene"):
    return np.asarray(Image.open(io.BytesIO(page.locator(selector).screenshot())).convert("RGB")).astype(int)


def _colored(pixels, color):
    """How many pixels have about the hue of a surface."""
    shade = np.array(color) / np.linalg.norm(color)
    length = np.linalg.norm(pixels, axis=2)
    near = (pixels @ shade) / np.maximum(length, 1) > 0.985
    return int((near & (length > 90)).sum())


YELLOW = (240, 180, 30)


def test_the_view_is_not_blank_and_the_tumour_can_be_hidden_there_and_in_the_slices(shown):
    with_tumor = _pixels(shown)
    assert _colored(with_tumor, YELLOW) > 1000
    assert shown.locator(".plane path[data-name=tumor_1]").count() == 3
    shown.locator(".keys input[data-name=tumor_1]").uncheck()
    shown.wait_for_timeout(800)
    assert _colored(_pixels(shown), YELLOW) < _colored(with_tumor, YELLOW) / 5
    assert shown.locator(".plane path[data-name=tumor_1]").count() == 0
    assert shown.locator(".plane path[data-name=kidney_right]").count() > 0


def test_the_view_turns_by_its_buttons(shown):
    front = _pixels(shown)
    shown.get_by_role("button", name="left").click()
    shown.wait_for_timeout(800)
    assert np.abs(_pixels(shown) - front).mean() > 1


def test_the_slider_shows_another_slice(shown):
    plane = shown.locator(".plane").first
    before = plane.locator("image").get_attribute("href"), plane.locator("output").inner_text()
    plane.locator("input").fill("0")
    after = plane.locator("image").get_attribute("href"), plane.locator("output").inner_text()
    assert before[0] != after[0]
    assert before[1] != after[1]
    assert plane.locator("path[data-name=tumor_1]").count() == 0
    gray = _pixels(shown, ".plane >> nth=0")
    assert gray.std() > 20


def test_it_says_what_a_reader_must_know(shown):
    text = shown.locator("main").inner_text()
    assert "Research only." in text
    assert "Surgical plan: <phantom>" in text
    assert "slices of 3 mm & more" in text
    assert "tumour 1, right" in text
    assert "R.E.N.A.L." in text
