"""What happens by itself: one flow starts the next, people hear of a failure.

`ensure_automations` is what `kits up` calls, `remove_automations` takes all of them away again. An automation that was
switched off in the dashboard stays off, and one that was switched on stays on.
"""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.automations import AutomationCore
from prefect.events.actions import ActionTypes, RunDeployment, SendNotification
from prefect.events.schemas.automations import EventTrigger, Posture

from tasks.events import DATASET_CHANGED, MODEL_TRAINED, NEXT, OPEN

PREFIX = "kits: "
ALERT_BLOCK = "kits-alert"
"""Name of the notification block that failures are sent to, of any type that Prefect has: Slack, webhook, ..."""
_OF_OLDER_RELEASES = (f"{PREFIX}end what stopped answering",)  # it ended healthy runs of a busy machine


def ensure_automations() -> list[str]:
    """Make or renew every automation; their names. Their deployments must be there."""
    with get_client(sync_client=True) as client:
        deployments = {f"{d.name}": d.id for d in client.read_deployments()}
        alert = next((block.id for block in client.read_block_documents() if block.name == ALERT_BLOCK), None)
        for old in _OF_OLDER_RELEASES:
            for needless in client.read_automations_by_name(old):
                client.delete_automation(needless.id)
        wanted = list(_automations(deployments, alert))
        for automation in wanted:
            known = client.read_automations_by_name(automation.name)
            if not known:
                client.create_automation(automation)
            elif _meaning(known[0]) != _meaning(automation):
                automation.enabled = known[0].enabled
                client.update_automation(known[0].id, automation)
    return [automation.name for automation in wanted]


def remove_automations() -> None:
    """Take away what `ensure_automations` made."""
    with get_client(sync_client=True) as client:
        for automation in client.read_automations():
            if automation.name.startswith(PREFIX):
                client.delete_automation(automation.id)


def _automations(deployments: dict[str, UUID], alert: UUID | None) -> Iterator[AutomationCore]:
    dataset, model = (_from_event("payload", name) for name in ("dataset", "model"))
    yield AutomationCore(
        name=f"{PREFIX}prepare what changed",
        description="When an ingestion has brought in cases: prepare its dataset by the default recipe.",
        trigger=_on(DATASET_CHANGED),
        actions=[_run(deployments["prepare"], {"dataset": dataset})],
    )
    yield AutomationCore(
        name=f"{PREFIX}evaluate what was trained",
        description="When a model was trained: score it on its validation cases.",
        trigger=_on(MODEL_TRAINED),
        actions=[_run(deployments["evaluate"], {"model": model})],
    )
    yield AutomationCore(
        name=f"{PREFIX}train on what changed",
        description="When an ingestion has brought in cases: run the whole pipeline, whose new split has them. Off "
        "until someone switches it on.",
        enabled=False,
        trigger=_on(DATASET_CHANGED),
        actions=[_run(deployments["pipeline"], {"dataset": dataset, "source": _from_event("payload", "source")})],
    )
    if alert is not None:
        yield AutomationCore(
            name=f"{PREFIX}tell of failures",
            description=f"When a run fails or crashes: tell it through the block {ALERT_BLOCK}.",
            trigger=EventTrigger(
                expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
                match={"prefect.resource.id": ["prefect.flow-run.*"]},
                posture=Posture.Reactive,
                threshold=1,
            ),
            actions=[
                SendNotification(
                    block_document_id=alert,
                    subject="{{ flow_run.name }}: {{ flow_run.state.name }}",
                    body="{{ flow_run.state.message }}\n{{ flow_run|ui_url }}",
                )
            ],
        )


def _meaning(automation: AutomationCore) -> dict[str, Any]:
    """What an automation does."""
    shown = automation.model_dump(include={"description", "trigger", "actions"})  # whose sets have no order
    shown["trigger"].pop("id", None)
    return shown


def _on(event: str) -> EventTrigger:
    return EventTrigger(expect={event}, match={NEXT: OPEN}, posture=Posture.Reactive, threshold=1)


def _run(deployment: UUID, parameters: dict[str, Any]) -> ActionTypes:
    return RunDeployment(source="selected", deployment_id=deployment, parameters={"parameters": parameters})


def _from_event(*path: str) -> dict[str, str]:
    """A parameter that the server fills in from the event."""
    return {"__prefect_kind": "jinja", "template": "{{ event." + ".".join(path) + " }}"}
