"""Texts of strangers, planted wherever one enters: they are shown by everything, and obeyed by nothing."""

import json
import re
import shutil

import pytest
from playwright.sync_api import sync_playwright
from pydicom import dcmread

from deployments.home_note import auth_string
from deployments.password import login_link
from flows.ingest import ingest
from flows.parameters import IngestParameters, PredictParameters, PrepareParameters
from flows.predict import predict
from flows.prepare import prepare
from kits_core.recipe import Recipe

pytestmark = pytest.mark.slow

OUTSIDE = "outside.example"
SCRIPT = "<script>document.title='owned'</script>"
STEER = "\x1b]0;owned\x07\x1b[2J\x1b]52;c;eA==\x07"
HOSTILE = f"=HYPERLINK(1) {STEER} {SCRIPT} <img src=x> ![x](http://{OUTSIDE}/x.png) | `a` \n# head"
STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
MARKUP = re.compile(r"(?<!\\)[<`]|(?<!\\)\]\(")


@pytest.fixture
def chromium():
    """A page that reaches loopback and files alone, and what it asked for or was made to say."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no Chromium on this machine")
    met = []

    def dismiss(dialog):
        met.append("dialog")
        dialog.dismiss()

    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        page = browser.new_page()
        page.on("request", lambda request: met.append(request.url))
        page.on("dialog", dismiss)
        page.route(re.compile(r"^https?://(?!127\.0\.0\.1)"), lambda route: route.abort())
        yield page
        browser.close()
    assert not [one for one in met if OUTSIDE in one or one == "dialog"]


@pytest.fixture
def series(scan, write_series, tmp_path):
    """A DICOM series whose folder and tags a stranger has named."""
    folder = write_series(scan, tmp_path / SCRIPT.replace("/", "_"))
    for file in folder.iterdir():
        data = dcmread(file)
        data.PatientName, data.PatientID, data.SeriesDescription = "<script>alert(1)</script>", "=1+1", SCRIPT
        data.save_as(file)
    return folder


def _check_logs(api):
    asked = api.post("logs/filter", json={"limit": 200, "sort": "TIMESTAMP_DESC"})
    found = asked.raise_for_status().json()
    assert found
    assert not [one["message"] for one in found if STEERING.search(one["message"])]


@pytest.mark.usefixtures("begun")
def test_a_scan_and_a_path_of_strangers(series, _server, api, artifact, chromium, tmp_path):
    asked = PredictParameters(scans=[str(series), str(tmp_path / HOSTILE)], out=str(tmp_path / "plans"))
    done = predict(asked)
    (planned,), (reason,) = done.planned, done.refused
    assert "nothing at this path" in reason
    assert not STEERING.search(reason)
    assert "\n" not in reason
    identity = json.loads((planned.folder / "plan.json").read_text(encoding="utf-8"))["identity"]
    assert identity["series"] == SCRIPT  # a machine reads what stands there
    made = artifact("predict")
    assert not MARKUP.search(made["data"])
    _check_logs(api)

    chromium.goto(planned.page.as_uri(), wait_until="load")
    chromium.wait_for_selector("#view3d canvas")
    assert SCRIPT in chromium.locator(".who").inner_text()
    assert chromium.title().startswith("Surgical plan: ")
    home, url = _server
    dashboard = url.removesuffix("/api")
    chromium.goto(login_link(dashboard, auth_string(home, url)), wait_until="commit")
    chromium.wait_for_url(lambda address: "/kits/login" not in address, wait_until="commit")
    for version in ("", "/v2"):
        chromium.goto(f"{dashboard}{version}/artifacts/artifact/{made['latest_id']}", wait_until="commit")
        chromium.get_by_text("nothing at this path").first.wait_for(timeout=60_000)
        chromium.wait_for_timeout(500)
        assert SCRIPT in chromium.locator("body").inner_text()  # as text
        assert chromium.title() != "owned"


@pytest.mark.usefixtures("begun")
def test_clinical_records_of_strangers(phantoms, api, artifact, kits, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(phantoms, source, ignore=shutil.ignore_patterns("SHA256SUMS"))
    records = json.loads((source / "kits23.json").read_text(encoding="utf-8"))
    records[0] |= {"smoking_history": HOSTILE, "surgery_type": "=1+1", "tumor_isup_grade": -1.5}
    records[1] |= {"bmi": HOSTILE}
    (source / "kits23.json").write_text(json.dumps(records), encoding="utf-8")
    ingest(IngestParameters(source=str(source), dataset="phantoms", replace_source=True))
    text = artifact("ingest")["data"]
    assert "owned" in text
    assert not MARKUP.search(text)
    _check_logs(api)

    shown = kits("status")
    assert "owned" in shown
    assert not STEERING.search(shown)
    columns = "smoking_history, surgery_type, tumor_isup_grade"
    query = f"SELECT {columns} FROM clinical_record WHERE smoking_history LIKE '%owned%'"
    answer = kits("sql", query)
    assert "owned" in answer
    assert not STEERING.search(answer)
    file = tmp_path / "answer.csv"
    kits("sql", query, "--csv", str(file))
    written = file.read_text(encoding="utf-8")
    assert written.splitlines()[1].startswith("\"'=HYPERLINK(1) ")
    assert written.splitlines()[-1].endswith(",'=1+1,-1.5")
    assert not STEERING.search(written)


def test_names_of_cases_of_strangers(phantoms, api, artifact, kits, tmp_path):
    name = "=1+1 <img src=x onerror=owned()> | `a` ![x](y)"
    for folder, file in (("images", "imaging"), ("masks", "segmentation")):
        (tmp_path / "in" / folder).mkdir(parents=True)
        shutil.copy(phantoms / "case_00000" / f"{file}.nii.gz", tmp_path / "in" / folder / f"{name}.nii.gz")
    (tmp_path / "in" / "masks" / f"{STEER}.nii.gz").write_bytes(b"x")
    ingest(IngestParameters(source=str(tmp_path / "in"), allowed_failures=1.0))
    prepare(PrepareParameters(recipe=Recipe(shape=32)))
    for key in ("ingest", "prepare"):
        text = artifact(key)["data"]
        assert not MARKUP.search(re.sub(r"!\[[^\]]*\]\(data:[^)]*\)", "", text))
    assert "owned" in artifact("ingest")["data"] or "owned" in artifact("prepare")["data"]
    _check_logs(api)
    shown = kits("status")
    assert not STEERING.search(shown)
    file = tmp_path / "cases.csv"
    kits("sql", "SELECT case_name FROM case_overview WHERE kidney_ml > 0", "--csv", str(file))
    assert file.read_text(encoding="utf-8").splitlines()[1].startswith("'=1+1 <img")
