"""The page in a real browser: nothing is fetched, nothing fails, and what can be turned, turns."""

import io

import numpy as np
import pytest
from PIL import Image

from kits_core.geometry import Volume
from kits_core.plan.colors import tumor_color
from kits_core.plan.page import PageFacts, render
from kits_core.plan.plan import make_plan
from kits_core.scan.identity import Identity

KIDNEYS = [(1, (60, 0, 10), (28, 25, 50)), (1, (-60, 0, 0), (28, 25, 50))]
IDENTITY = Identity("Doe, Jane", "<4711>", "2024-03-01", "Abdomen 2.0")


@pytest.fixture(scope="module")
def page_of(phantom, tmp_path_factory):
    """Writes a page of two kidneys with tumours and whatever else is given, in a body."""

    def write(*solids, kidneys=KIDNEYS):
        labels = phantom.paint((3, 3, 3), [*kidneys, *solids])
        hu = np.full(labels.shape, -1000, np.int16)
        hu[3:-3, 3:-3, :] = 20
        hu[labels.data > 0] = 150
        flags, lineage = ["slices of 3 mm & more"], {"model": "7"}
        facts = PageFacts("Surgical plan: <phantom>", "today", flags, lineage, identity=IDENTITY)
        path = tmp_path_factory.mktemp("page") / "plan.html"
        path.write_text(render(make_plan("phantom", labels), Volume(hu, labels.affine), facts), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="module")
def plan_page(page_of):
    """A page with a tumour and a cyst."""
    return page_of((2, (75, 0, 10), 18), (3, (-60, 0, 30), 8))


def _tumors(count):
    """Small ones all around both kidneys, one the size of the other."""
    for n in range(count):
        side, turn = (1 if n % 2 else -1), 2.4 * n
        yield 2, (60 * side + 22 * np.cos(turn), 20 * np.sin(turn), 9 * (n // 2) - 35), 9 - 0.2 * n


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


YELLOW = tumor_color(1)


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
    head = shown.locator(".who").inner_text().split("\n")
    assert head == ["Patient", "Doe, Jane", "Patient ID", "<4711>", "Study date", "2024-03-01", "Series", "Abdomen 2.0"]


def test_the_legend_stands_beside_the_view_and_hides_nothing_of_it(shown):
    keys, view = (shown.locator(place).bounding_box() for place in (".keys", "#view3d"))
    assert keys["x"] + keys["width"] <= view["x"]
    assert view["height"] > 500


@pytest.mark.parametrize("count", [1, 8, 20])
def test_all_of_every_tumour_is_seen_at_1280_pixels_and_on_paper_and_no_one_is_kept_out(
    browser, serious, page_of, count
):
    path = page_of(*_tumors(count), (3, (-60, 0, 30), 8))
    assert path.stat().st_size < 5e6
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(path.as_uri())
    page.wait_for_selector("#view3d canvas")
    assert page.locator("tbody").first.locator("tr").count() == count
    assert page.evaluate(_FITS)
    assert serious(page) == {}
    rows = page.locator("tbody").first.locator("tr")
    for number in range(1, count + 1):
        color = "rgb({}, {}, {})".format(*tumor_color(number))
        swatches = (rows.nth(number - 1), page.locator(".keys label", has_text=f"tumour {number} ("))
        for swatch in swatches:
            assert swatch.locator(".swatch").evaluate("one => getComputedStyle(one).backgroundColor") == color
        drawn = page.locator(f".plane path[data-name=tumor_{number}]")
        assert all(path.get_attribute("stroke") == color.replace(" ", "") for path in drawn.all())
    page.set_viewport_size({"width": 703, "height": 900})  # A4 less its margins
    page.emulate_media(media="print")
    assert page.evaluate(_FITS)
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(media="screen")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert serious(page) == {}
    page.close()


_FITS = """() => [...document.querySelectorAll(".scroll"), document.documentElement]
    .every(one => one.scrollWidth <= one.clientWidth)"""


def test_on_paper_the_view_is_as_large_as_its_frame(shown):
    shown.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    shown.set_viewport_size({"width": 703, "height": 900})
    shown.emulate_media(media="print")
    frame, paper = (shown.locator(place).bounding_box() for place in (".scene", "#paper"))
    assert paper["width"] <= frame["width"]
    assert _colored(_pixels(shown, "#paper"), YELLOW) > 100


def test_a_browser_that_cannot_unpack_the_view_says_so_and_shows_the_slices(browser, plan_page):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.add_init_script("delete window.DecompressionStream")
    page.goto(plan_page.as_uri())
    page.wait_for_selector("#view3d p")
    assert "cannot show the 3-D view" in page.locator("#view3d").inner_text()
    assert page.locator(".plane path[data-name=tumor_1]").count() == 3
    page.close()


def test_a_mass_without_a_kidney_is_headed_by_no_side(browser, page_of):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(page_of((2, (-20, 0, 0), 20), kidneys=[]).as_uri())
    text = page.locator("main").inner_text()
    assert "tumour 1, no kidney beside it" in text
    assert "No kidney was found, so that nothing has a side." in text
    assert "left" not in text.partition("Tumours")[2].partition("Where this comes from")[0].replace("tissue left", "")
    page.close()
