"""Loopback addresses are reached directly, never through a proxy."""

from collections.abc import MutableMapping

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def reach_loopback_directly(environment: MutableMapping[str, str]) -> None:
    """Add this machine's own addresses to the hosts for which `HTTP_PROXY` and its like do not count.

    Clients read `no_proxy` first, and `NO_PROXY` if that is not set, so both get the same value.
    """
    known = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    hosts = [host.strip() for host in known.split(",") if host.strip()]
    value = ",".join([*hosts, *(host for host in LOOPBACK if host not in hosts)])
    environment["no_proxy"] = environment["NO_PROXY"] = value
