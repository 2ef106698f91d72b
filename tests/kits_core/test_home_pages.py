from pathlib import Path

import pytest

from kits_core.home_pages import address_of_page, parts_of_page

HOME = Path("/data/kits")
PAGES = ["reports/evaluation_00001.html", "predictions/scans/ct/plan.html", "predictions/scans/a b/c/plan.html"]
HOSTILE = [
    "", "/", "reports", "reports/", "predictions", "predictions/", "predictions/plan.html", "predictions/scans/ct",
    "predictions/scans/ct/", "predictions/scans/ct/plan.json", "predictions/scans/ct/plan.html/", "catalog.db",
    "prefect/auth-string", "reports/evaluation_1.html.bak", "reports/x/evaluation_1.html", "reports/evaluation_.html",
    "../reports/evaluation_1.html", "reports/../prefect/auth-string", "reports/../reports/evaluation_1.html",
    "reports//evaluation_1.html", "/reports/evaluation_1.html", "./reports/evaluation_1.html",
    "predictions/../../etc/plan.html", "predictions/./ct/plan.html", "predictions/.work/plan.html",
    "predictions/scans/..\\..\\x/plan.html", "reports/evaluation_1.html\0", "predictions/a\0b/plan.html",
    "predictions/a\nb/plan.html", "reports\\evaluation_1.html", "%2e%2e/reports/evaluation_1.html",
    "Reports/evaluation_1.html", "predictions/scans/ct/PLAN.HTML", "reports/evaluation_1.html ",
    "reports/evaluation_\u0661.html.", "predictions/\u202elmth/plan.html", "~/plan.html", "predictions/~/../plan.html",
]  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
def test_reports_and_plans_are_pages(path):
    assert parts_of_page(path) == tuple(path.split("/"))


@pytest.mark.parametrize("path", HOSTILE, ids=ascii)
def test_nothing_else_is_one(path):
    assert parts_of_page(path) is None


def test_the_address_of_a_page_is_without_the_servers_name_and_means_nothing_in_markdown():
    assert address_of_page(HOME, HOME / "reports/evaluation_00007.html") == "/kits/open/reports/evaluation_00007.html"
    odd = HOME / "predictions" / "a (b) [c]#?%é" / "plan.html"
    assert address_of_page(HOME, odd) == "/kits/open/predictions/a%20%28b%29%20%5Bc%5D%23%3F%25%C3%A9/plan.html"


@pytest.mark.parametrize(
    "page", ["/elsewhere/ct/plan.html", "/data/kits/prefect/auth-string", "/data/kits-2/plan.html"]
)
def test_other_files_have_no_address(page):
    assert address_of_page(HOME, Path(page)) is None
