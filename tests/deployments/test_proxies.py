import os
import urllib.request

import pytest

from deployments.proxies import reach_loopback_directly


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, "127.0.0.1,localhost,::1"),
        ({"NO_PROXY": "a.example, localhost"}, "a.example,localhost,127.0.0.1,::1"),
        ({"no_proxy": "b.example", "NO_PROXY": "a.example"}, "b.example,127.0.0.1,localhost,::1"),
        ({"no_proxy": "*"}, "*,127.0.0.1,localhost,::1"),
    ],
)
def test_loopback_joins_what_is_reached_directly(before, after):
    environment = dict(before)
    reach_loopback_directly(environment)
    assert environment == {"no_proxy": after, "NO_PROXY": after}
    reach_loopback_directly(environment)
    assert environment["no_proxy"] == after


def test_pythons_own_rule_agrees(monkeypatch):
    for name, value in {"http_proxy": "http://proxy.example:3128", "no_proxy": ""}.items():
        monkeypatch.setenv(name, value)
    reach_loopback_directly(os.environ)
    assert urllib.request.proxy_bypass("127.0.0.1:4200")
    assert not urllib.request.proxy_bypass("kits.example")
