"""What a page for people must not have."""

import pytest


@pytest.fixture(scope="session")
def serious():
    """What axe-core finds wrong with a page in a browser that keeps someone from using it: rules and elements."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()

    def find(page):
        found = axe.run(page).response["violations"]
        return {one["id"]: [node["target"] for node in one["nodes"]] for one in found if one["impact"] != "minor"}

    return find
