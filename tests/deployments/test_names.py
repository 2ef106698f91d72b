"""Names in the dashboard: on a real server."""

from datetime import UTC, datetime, timedelta

from prefect.states import Running, Scheduled

from deployments.up.limits import name_limits
from deployments.up.names import name_waiting_runs
from flows.train import train


def test_runs_that_wait_have_their_names(client):
    made = client.create_deployment(flow_id=client.create_flow(train), name="queue", parameters={"parameters": {}})

    def ask(seed, state=None):
        parameters = {"parameters": {"prepared": "1 · volume 32", "more": {"seed": seed}}}
        return client.create_flow_run_from_deployment(made, parameters=parameters, state=state)

    soon = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(minutes=30))
    later = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(hours=3))
    waiting, wrong, due, far, begun = ask(1), ask(-1), ask(2, soon), ask(3, later), ask(4)
    client.set_flow_run_state(begun.id, Running(), force=True)
    name_waiting_runs()
    names = [client.read_flow_run(run.id).name for run in (waiting, due)]
    assert names == [f"train · recipe 1 · newest split · seed {seed}" for seed in (1, 2)]
    for run in (wrong, far, begun):
        assert client.read_flow_run(run.id).name == run.name
    updated = client.read_flow_run(waiting.id).updated
    name_waiting_runs()
    assert client.read_flow_run(waiting.id).updated == updated  # nothing new, nothing written
    client.delete_deployment(made)


def test_a_limit_is_called_after_its_deployment_and_goes_on_to_be_its_own(client):
    flow_id = client.create_flow(train)

    def deploy(limit):
        made = client.create_deployment(flow_id=flow_id, name="limited", concurrency_limit=limit)
        name_limits()
        return client.read_deployment(made)

    first = deploy(1).global_concurrency_limit
    assert (first.name, first.limit) == ("limited: runs at once", 1)
    again = deploy(2)
    assert (again.global_concurrency_limit.id, again.global_concurrency_limit.limit) == (first.id, 2)
    assert again.global_concurrency_limit.name == first.name
    client.delete_deployment(again.id)
    assert "limited: runs at once" not in [limit.name for limit in client.read_global_concurrency_limits()]
