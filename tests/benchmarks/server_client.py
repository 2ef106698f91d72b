"""A home's Prefect server, asked as a script would ask it."""

from pathlib import Path

import httpx

from deployments.home_note import auth_string


def asking(home: Path, api_url: str) -> httpx.Client:
    """An HTTP client of a home's server, which shows it the home's password: `client.post("flow_runs/filter", …)`.

    Raises `KitsError` where the home has no password yet.
    """
    user, _, password = (auth_string(home, api_url) or "").partition(":")
    return httpx.Client(base_url=f"{api_url}/", auth=(user, password), timeout=60, trust_env=False)
