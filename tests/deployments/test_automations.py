"""What `kits up` leaves on the server, asked of a real one."""

from uuid import UUID

from prefect import flow
from prefect.automations import AutomationCore
from prefect.events.actions import DoNothing
from prefect.events.schemas.automations import EventTrigger

from deployments.up.automations import PREFIX, ensure_automations, remove_automations


@flow
def nothing():
    """A flow to have runs of."""


def _automations(api):
    found = api.post("automations/filter", json={}).raise_for_status().json()
    return {a["name"]: a for a in found if a["name"].startswith(PREFIX)}


def test_automations_are_made_once_keep_a_switch_and_can_be_removed(client, api):
    for name in ("prepare", "evaluate", "pipeline"):
        client.create_deployment(flow_id=client.create_flow(nothing), name=name)
    old = AutomationCore(name=f"{PREFIX}end what stopped answering", trigger=EventTrigger(), actions=[DoNothing()])
    client.create_automation(old)
    names = ensure_automations()
    assert old.name not in names
    made = _automations(api)
    assert set(made) == set(names)
    client.pause_automation(UUID(made["kits: prepare what changed"]["id"]))
    assert set(ensure_automations()) == set(names)
    again = _automations(api)
    assert {name: a["id"] for name, a in again.items()} == {name: a["id"] for name, a in made.items()}
    assert not again["kits: prepare what changed"]["enabled"]
    kept = "kits: prepare what changed"
    assert ensure_automations()
    assert _automations(api)[kept]["updated"] == again[kept]["updated"]  # not written anew where nothing has changed
    remove_automations()
    assert _automations(api) == {}
