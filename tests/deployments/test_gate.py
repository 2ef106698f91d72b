"""Who is let in by the session's server, which is the one that every verb starts, and who is not."""

import asyncio
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

import httpx
import pytest
from playwright.sync_api import expect
from prefect import flow
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from deployments.gate import Gate, own_origins
from deployments.home_note import auth_string
from deployments.pages import Pages
from deployments.password import login_link

_PREFECT = Subprotocol("prefect")
OPEN = {("GET", "/health"), ("GET", "/ready")}
"""What says nothing but that the server is there."""

# What a page of a stranger may try. It even knows the password.
ATTACK = """
const api = API, basic = {Authorization: "Basic " + btoa(PASSWORD)}, told = {};
const attempt = async (name, what) => { try { told[name] = await what(); } catch (error) { told[name] = "refused"; } };
const socket = path => new Promise((opened, refused) => {
  const made = new WebSocket(api.replace("http", "ws") + path, "prefect");
  made.onopen = () => opened("open");
  made.onerror = refused;
});
(async () => {
  await attempt("reads", async () => (await fetch(api + "/admin/version", {headers: basic})).text());
  await attempt("reads health", async () => (await fetch(api + "/health")).text());
  await attempt("starts", async () => (await fetch(api + "/flows/", {method: "POST", body: '{"name": "planted"}',
                                           headers: {...basic, "Content-Type": "application/json"}})).status);
  // A body without a type needs nobody's leave to be sent, and Prefect takes it for JSON.
  const body = new Blob(['{"name": "planted"}']);
  await fetch(api + "/flows/", {method: "POST", mode: "no-cors", body}).catch(() => 0);
  await attempt("listens", () => socket("/events/out"));
  await attempt("emits", () => socket("/events/in"));
  const frame = document.createElement("iframe");
  frame.src = api.replace("/api", "/dashboard");
  await new Promise(done => { frame.onload = done; document.body.append(frame); });
  document.title = JSON.stringify(told);
})();
"""


@pytest.fixture(scope="module")
def password(_server):
    return auth_string(*_server)


def test_without_the_password_every_route_of_the_api_answers_401(prefect_api):
    with httpx.Client(base_url=prefect_api.removesuffix("/api"), timeout=60, trust_env=False) as client:
        paths = client.get("/openapi.json").json()["paths"]
        routes = {(method.upper(), path) for path, methods in paths.items() for method in methods}
        assert len(routes) > 150
        answers = {}
        for method, path in sorted(routes - OPEN):
            concrete = "/".join(str(uuid4()) if part.startswith("{") else part for part in path.split("/"))
            answers[method, path] = client.request(method, f"/api{concrete}").status_code
        assert {route: status for route, status in answers.items() if status != 401} == {}
        assert client.get("/api/admin/version", auth=("kits", "wrong")).status_code == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:4200", "127.0.0.1.evil.example", "10.0.0.1", "[::1", ""]
)
def test_a_name_that_is_not_the_servers_is_refused(api, host):
    assert api.get("health", headers={"Host": host}).status_code == 400


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8080", "[::1]:4200", "LOCALHOST"])
def test_the_servers_own_names_are_answered_on_any_port(api, host):
    assert api.get("admin/version", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:9", "null", "http://localhost"])
def test_a_page_of_another_origin_gets_no_leave_to_ask(api, origin):
    wish = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    for answer in (
        api.options("flows/filter", headers=wish),
        api.post("flows/filter", json={}, headers={"Origin": origin}),
    ):
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers


def test_the_dashboard_may_ask_under_both_of_its_names(api, prefect_api):
    port = httpx.URL(prefect_api).port
    for name in ("127.0.0.1", "localhost"):
        origin = f"http://{name}:{port}"
        wish = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        answer = api.options("flows/filter", headers=wish)
        assert answer.headers["access-control-allow-origin"] == origin


@pytest.mark.parametrize("path", ["events/in", "events/out", "logs/out", "task_runs/subscriptions/scheduled"])
def test_a_socket_needs_the_password_and_is_none_for_pages_of_others(prefect_api, password, path):
    address = f"{prefect_api.replace('http', 'ws')}/{path}"
    with pytest.raises((InvalidStatus, ConnectionClosed)), connect(address, proxy=None) as socket:
        socket.recv(timeout=20)
    for token in (None, "kits:wrong"):
        with connect(address, subprotocols=[_PREFECT], proxy=None) as socket:
            socket.send(json.dumps({"type": "auth", "token": token}))
            with pytest.raises(ConnectionClosed):
                socket.recv(timeout=20)
    with pytest.raises(InvalidStatus, match="403"):
        connect(address, subprotocols=[_PREFECT], origin=Origin("http://127.0.0.1:9"), proxy=None)
    with connect(address, subprotocols=[_PREFECT], proxy=None) as socket:
        socket.send(json.dumps({"type": "auth", "token": password}))
        assert json.loads(socket.recv(timeout=20)) == {"type": "auth_success"}


def test_where_other_machines_reach_it_any_name_may_be_the_servers_and_pages_of_others_are_kept_out(tmp_path):
    origins = own_origins("0.0.0.0", 4200, "https://kits.example/api")

    async def answer(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"in"})

    gate = Gate(answer, "0.0.0.0", origins, Pages(tmp_path, None))

    def ask(**headers):
        async def go():
            async with httpx.AsyncClient(transport=httpx.ASGITransport(gate)) as client:
                return (await client.get("http://kits.local:4200/", headers=headers)).status_code

        return asyncio.run(go())

    assert ask() == 200
    assert ask(Origin="https://kits.example") == 200
    assert ask(Origin="http://kits.local:4200") == 200
    assert ask(Origin="https://evil.example") == 403


@contextmanager
def _page(script):
    """The address of a page of a stranger, on another port."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(f"<title>busy</title><body><script>{script}</script>".encode())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.slow
def test_a_page_of_another_port_can_neither_read_nor_start_anything_nor_show_the_dashboard(
    browser, api, prefect_api, password
):
    page = browser.new_page()
    script = ATTACK.replace("API", json.dumps(prefect_api)).replace("PASSWORD", json.dumps(password))
    with _page(script) as address:
        page.goto(address)
        page.wait_for_function("document.title.startsWith('{')", timeout=60_000)
        told = json.loads(page.title())
        assert set(told.values()) == {"refused"}
        assert len(told) == 5
        assert page.frames[1].url == "chrome-error://chromewebdata/"
    page.close()
    planted = {"flows": {"name": {"any_": ["planted"]}}}
    assert api.post("flows/filter", json=planted).json() == []


@pytest.mark.slow
def test_the_printed_link_lets_a_browser_in_and_leads_to_a_run_in_both_interfaces(browser, prefect_api, password):
    dashboard = prefect_api.removesuffix("/api")

    @flow(flow_run_name="seen in the dashboard")
    def seen():
        from prefect.runtime import flow_run

        return flow_run.id

    run = f"/runs/flow-run/{seen()}"
    for interface in ("", "/v2"):
        context = browser.new_context()  # a browser that was never here
        page = context.new_page()
        page.goto(f"{dashboard}{interface}{run}", wait_until="commit")
        kept_out = page.get_by_role("button", name="Login").or_(page.get_by_text("Authentication failed."))
        expect(kept_out.first).to_be_visible(timeout=60_000)
        page.goto(login_link(dashboard, password, f"{interface}{run}"), wait_until="commit")
        expect(page.get_by_text("seen in the dashboard").first).to_be_visible(timeout=60_000)
        assert page.url.startswith(f"{dashboard}{interface}{run}")
        context.close()


@pytest.mark.slow
def test_a_link_of_another_password_says_so_and_leads_nowhere_else(browser, prefect_api, password):
    dashboard = prefect_api.removesuffix("/api")
    page = browser.new_page()
    for link, told in (
        (login_link(dashboard, "kits:old"), "The password in this link is not this server's"),
        (login_link(dashboard, password).partition("#")[0], "This address lacks the password"),
    ):
        page.goto(link)
        expect(page.get_by_role("status")).to_contain_text(told)
        assert page.evaluate("localStorage.length") == 0
    page.goto(login_link(dashboard, password, "//evil.example/"), wait_until="commit")
    page.wait_for_url(f"{dashboard}/evil.example/**")
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize("interface", ["", "/v2"])
def test_the_dashboard_asks_its_own_server_alone(browser, prefect_api, password, interface):
    """The new one would ask a service that counts users; a request that the policy stops never reaches a route."""
    dashboard = prefect_api.removesuffix("/api")
    context = browser.new_context()
    outside, refused = [], []

    def stop(route):
        outside.append(route.request.url)
        route.abort()

    context.route(lambda url: not url.startswith((f"{dashboard}/", "data:", "blob:")), stop)
    page = context.new_page()
    page.on("console", lambda message: refused.append(message.text))
    page.goto(login_link(dashboard, password, f"{interface}/dashboard"), wait_until="commit")
    page.wait_for_url(lambda url: "/kits/login" not in url, wait_until="commit")
    for path in ("dashboard", "deployments", "automations"):
        page.goto(f"{dashboard}{interface}/{path}", wait_until="commit")
        expect(page.get_by_text("Concurrency").first).to_be_visible(timeout=60_000)
        page.wait_for_timeout(1500)
    context.close()
    assert outside == []
    violations = [text for text in refused if "Content Security Policy" in text]
    assert [text for text in violations if "amplitude.com" not in text] == []
    if interface:
        assert violations  # where it asks no more, the policy and its reason in `deployments.gate` can go
