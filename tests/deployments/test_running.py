import re

import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, temporary_settings
from rich.console import Console

from deployments.running import run_flow
from flows.parameters import SplitParameters
from kits_core.errors import KitsError


def test_a_configured_server_that_asks_for_another_password_is_named_with_the_way_out(home, prefect_api, monkeypatch):
    address = re.escape(prefect_api.removeprefix("http://").removesuffix("/api"))
    with (
        temporary_settings({PREFECT_API_AUTH_STRING: "me:another"}),
        pytest.raises(KitsError, match=rf"server at {address}: expected its password in PREFECT_API_AUTH_STRING"),
    ):
        run_flow("flows.split:split", SplitParameters(), Console(quiet=True))
