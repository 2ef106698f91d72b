"""Reports and plans through the session's server, which is the one that every verb starts."""

import os
from base64 import b64encode
from contextlib import closing
from http.client import HTTPConnection
from types import SimpleNamespace

import httpx
import pytest
from playwright.sync_api import expect

from deployments.home_note import auth_string
from deployments.pages import FILES, read_page
from deployments.password import login_link
from kits_core.home_pages import OPEN

REPORT = "reports/evaluation_00001.html"
PLAN = "predictions/scans/a (b)#1/plan.html"
SECRET = "the catalog's password"
# A page of a stranger, which has come into the home: it tries what a page of the dashboard can.
PAGE = """<!DOCTYPE html><title>Plan &amp; more</title><h1>Shown</h1><p id="tried"></p><script>
const tried = [];
try { tried.push(localStorage.getItem("prefect-password")); } catch { tried.push("no storage"); }
try { tried.push(parent.document.title); } catch { tried.push("no parent"); }
fetch("/api/admin/version").then(answer => tried.push(answer.status)).catch(() => tried.push("no API"))
  .finally(() => { document.getElementById("tried").textContent = tried.join(", "); });
</script>"""


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def filled(_server):
    """The home of the server, with a report and a plan."""
    home, _ = _server
    for path in (REPORT, PLAN):
        _write(home / path, PAGE)
    return home


@pytest.fixture
def links(filled, tmp_path):
    """Paths that look like pages and lead elsewhere, or are none."""
    secret = tmp_path / "plan.html"
    _write(secret, SECRET)
    scans = filled / "predictions" / "hostile"
    for name in ("file", "pipe", "folder", "loop"):
        (scans / name).mkdir(parents=True, exist_ok=True)
    (scans / "file" / "plan.html").symlink_to(secret)
    (scans / "up").symlink_to(tmp_path)
    (scans / "loop" / "plan.html").symlink_to("plan.html")
    os.mkfifo(scans / "pipe" / "plan.html")
    (scans / "folder" / "plan.html").mkdir()
    (filled / "reports" / "evaluation_00002.html").symlink_to(secret)
    made = ["file/plan.html", "up/plan.html", "loop/plan.html", "pipe/plan.html", "folder/plan.html"]
    yield [f"predictions/hostile/{path}" for path in made] + ["reports/evaluation_00002.html"]
    (filled / "reports" / "evaluation_00002.html").unlink()
    for path in sorted(scans.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    scans.rmdir()


def _ask(api_url, path, auth=None, method="GET"):
    """A request whose path goes out as it is, which other clients would tidy."""
    headers = {} if auth is None else {"Authorization": f"Basic {b64encode(auth.encode()).decode()}"}
    with closing(HTTPConnection("127.0.0.1", httpx.URL(api_url).port, timeout=60)) as connection:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return SimpleNamespace(status_code=answer.status, text=answer.read().decode(), headers=answer.headers)


def test_a_page_is_read_with_the_password_alone(filled, prefect_api):
    password = auth_string(filled, prefect_api)
    answer = _ask(prefect_api, FILES + REPORT, password)
    assert (answer.status_code, answer.text) == (200, PAGE)
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert answer.headers["cache-control"] == "no-store"
    assert _ask(prefect_api, FILES + PLAN.replace("#", "%23").replace(" ", "%20"), password).text == PAGE
    for wrong in (None, "kits:wrong", f"{password}x", "kits:"):
        refused = _ask(prefect_api, FILES + REPORT, wrong)
        assert refused.status_code == 401
        assert "Shown" not in refused.text
    assert _ask(prefect_api, FILES + "reports/evaluation_00009.html").status_code == 401  # it says not what is there
    assert _ask(prefect_api, FILES + REPORT, password, "POST").status_code == 405
    for header in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
        address = prefect_api.removesuffix("/api") + OPEN + REPORT
        assert httpx.get(address, headers=header, trust_env=False).status_code in (400, 403)


@pytest.mark.parametrize(
    "path",
    [
        "", "reports", "reports/", "predictions/", "catalog.db", "prefect/auth-string", "../etc/passwd",
        "..%2fprefect%2fauth-string", "reports/..%2f..%2fetc/passwd", "%2e%2e/%2e%2e/etc/passwd", "%2fetc/passwd",
        "reports/%2e%2e/prefect/auth-string", "reports/evaluation_00001.html%00", "reports/evaluation_00001.html/",
        "reports//evaluation_00001.html", "reports%5cevaluation_00001.html", "predictions/%ff/plan.html",
        "file:///etc/passwd", "predictions/scans/..;/plan.html", "reports/evaluation_00001.html;x",
    ],
)  # fmt: skip
def test_no_other_path_is_answered(filled, prefect_api, path):
    answer = _ask(prefect_api, FILES + path, auth_string(filled, prefect_api))
    assert (answer.status_code, answer.text) == (404, "there is no such page")


def test_no_link_is_followed_and_nothing_but_a_file_is_read(filled, links, prefect_api):
    for path in links:
        assert read_page(filled, path) is None, path
        assert _ask(prefect_api, FILES + path, auth_string(filled, prefect_api)).status_code == 404, path
    assert read_page(filled, REPORT) == PAGE.encode()


def test_a_home_whose_folder_of_pages_is_a_link_shows_none(tmp_path):
    _write(tmp_path / "elsewhere" / "evaluation_00001.html", SECRET)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "reports").symlink_to(tmp_path / "elsewhere")
    assert read_page(tmp_path / "home", REPORT) is None
    (tmp_path / "link").symlink_to(tmp_path / "real")  # the home itself may be one: the user has said where it is
    _write(tmp_path / "real" / REPORT, PAGE)
    assert read_page(tmp_path / "link", REPORT) == PAGE.encode()


@pytest.mark.slow
def test_a_browser_that_is_logged_in_sees_a_page_which_reaches_nothing(browser, filled, prefect_api):
    page = browser.new_page()
    base = prefect_api.removesuffix("/api")
    page.goto(f"{base}{OPEN}{REPORT}", wait_until="commit")
    expect(page.get_by_text("This browser is not logged in")).to_be_visible(timeout=60_000)
    page.goto(login_link(base, auth_string(filled, prefect_api), f"{OPEN}{REPORT}"), wait_until="commit")
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="Shown")).to_be_visible(timeout=60_000)
    expect(frame.locator("#tried")).to_have_text("no storage, no parent, no API", timeout=30_000)
    assert page.title() == "Plan & more"
    page.goto(f"{base}{OPEN}{PLAN.replace('#', '%23')}", wait_until="commit")
    expect(frame.get_by_role("heading", name="Shown")).to_be_visible(timeout=60_000)
    page.goto(f"{base}{OPEN}reports/evaluation_00009.html", wait_until="commit")
    expect(page.get_by_text("There is no such page any more")).to_be_visible(timeout=60_000)
    page.close()
