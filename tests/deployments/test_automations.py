"""What `kits up` leaves on the server, asked of a real one."""

from uuid import UUID

from prefect import flow

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
    names = ensure_automations()
    made = _automations(api)
    assert set(made) == set(names)
    client.pause_automation(UUID(made["kits: prepare what changed"]["id"]))
    assert set(ensure_automations()) == set(names)
    again = _automations(api)
    assert {name: a["id"] for name, a in again.items()} == {name: a["id"] for name, a in made.items()}
    assert not again["kits: prepare what changed"]["enabled"]
    # Written anew, it would forget whose sign of life it waits for.
    silent = "kits: end what stopped answering"
    assert again[silent]["updated"] == made[silent]["updated"]
    remove_automations()
    assert _automations(api) == {}
