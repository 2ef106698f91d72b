"""What stands before Prefect's server: it lets no page of another site in, logs a browser in, and shows reports.

A browser sends requests for every page that it shows, so a page of a stranger can reach servers on loopback. Prefect's
server takes any `Host` and any `Origin`. Here a `Host` that is not this server's is refused: a stranger's name may have
been made to lead to this machine. An `Origin` that is not the dashboard's is refused too, on websockets as well.
Prefect's own clients send none.

The dashboard asks no other host for anything: the new one would load settings of a service that counts its users, at
each visit and whatever Prefect's settings say. A policy that browsers obey keeps it from that.
"""

import secrets
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.pages import Pages
from deployments.password import LOGIN
from deployments.proxies import LOOPBACK

_PAGE = Path(__file__).with_name("login.html")


def own_origins(host: str, port: int, public: str | None) -> list[str]:
    """The origins at which browsers show the dashboard of a server.

    Args:
        host: the address that the server binds to.
        port: its port.
        public: an address of it through a proxy, if it has one.
    """
    names = dict.fromkeys([host, *LOOPBACK])
    origins = [f"http://{f'[{name}]' if ':' in name else name}:{port}" for name in names]
    if public and (parts := urlsplit(public)).netloc:
        origins.append(f"{parts.scheme}://{parts.netloc}")
    return list(dict.fromkeys(origins))


class Gate:
    """Prefect's application behind the checks, an ASGI application itself.

    Args:
        app: Prefect's.
        host: the address that the server binds to. Where other machines reach it, any `Host` may be its name, and the
            password alone keeps others out.
        origins: see `own_origins`.
        pages: those of the home.
    """

    def __init__(self, app: ASGIApp, host: str, origins: Iterable[str], pages: Pages) -> None:
        self._app = app
        self._origins = frozenset(origins)
        self._pages = pages
        self._policy = _policy(self._origins)
        names = frozenset(urlsplit(origin).hostname for origin in self._origins)
        self._names = names if host in LOOPBACK else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request or a websocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
        elif refusal := self._refusal(Headers(scope=scope)):
            status, text = refusal
            await PlainTextResponse(text, status)(scope, receive, send)  # a websocket gets it instead of its acceptance
        elif scope["type"] == "http" and f"{scope['path']}/".startswith(f"{LOGIN}/"):
            await _login_page()(scope, receive, send)
        elif scope["type"] == "http" and (page := await self._pages.answer(scope)):
            await page(scope, receive, send)
        else:
            await self._app(scope, receive, _with_policy(send, self._policy))

    def _refusal(self, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if self._names is not None and _name(host) not in self._names:
            return 400, "this server answers under its own address only"
        origin = headers.get("origin")
        if origin is not None and origin not in self._origins and urlsplit(origin).netloc != host:
            return 403, "this server answers to pages of its own only"
        return None


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _login_page() -> HTMLResponse:
    nonce = secrets.token_urlsafe(16)
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return HTMLResponse(_PAGE.read_text(encoding="utf-8").replace("NONCE", nonce), headers=headers)


def _policy(origins: Iterable[str]) -> str:
    """What browsers let the dashboard do: it asks its own server alone, and no page of others shows it in a frame.

    In such a frame a reader could be led to click there unawares.
    """
    named = sorted(origin for origin in origins if "[" not in origin)  # browsers know no such address in a policy
    asked = " ".join(["'self'", *named, *(origin.replace("http", "ws", 1) for origin in named)])
    return f"default-src {asked} data: blob: 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'self'"


def _with_policy(send: Send, policy: str) -> Send:
    async def send_with_policy(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["Content-Security-Policy"] = policy
        await send(message)

    return send_with_policy
