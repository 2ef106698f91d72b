import shlex
import sys
from uuid import uuid4

from prefect.client.schemas.objects import FlowRun

from deployments.worker_process import HoldingWorker, OneProcess


def _prepared(**settings):
    configuration = OneProcess(**settings)
    configuration.prepare_for_flow_run(FlowRun(id=uuid4(), flow_id=uuid4()))
    return configuration


def test_a_run_is_started_as_what_it_will_be_and_not_by_a_process_that_prepares_it():
    configuration = _prepared()
    assert shlex.split(configuration.command) == [sys.executable, "-m", "prefect.engine"]
    assert configuration._command_configured  # else Prefect's worker starts its own
    assert HoldingWorker.job_configuration is OneProcess


def test_a_command_that_the_pool_has_stays():
    assert _prepared(command="nice python -m prefect.engine").command == "nice python -m prefect.engine"
