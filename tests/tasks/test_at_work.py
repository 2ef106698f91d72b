"""Flow runs hold their files: on a real server."""

import pytest
from prefect import flow
from prefect.runtime import flow_run

from db.at_work import flow_run_file
from db.settings import Settings
from flows.evaluate import evaluate
from flows.ingest import ingest
from flows.pipeline import pipeline
from flows.predict import predict
from flows.prepare import prepare
from flows.split import split
from flows.train import promote, train
from kits_core.at_work import is_held, read
from tasks.at_work import FLOW, hold_run
from tasks.cancel import end_as_cancelled

pytestmark = pytest.mark.usefixtures("prefect_api")


@pytest.mark.parametrize("ends", ["well", "badly"])
def test_a_run_holds_its_file_while_it_goes_and_so_does_a_part_of_it(home, ends):
    seen = {}

    def look(name):
        file = flow_run_file(Settings(), flow_run.id)
        seen[name] = (file, is_held(file), (read(file).what, read(file).how))

    @flow(**FLOW)
    def part():
        look("part")

    @flow(**FLOW)
    def whole():
        part()
        look("whole")
        if ends == "badly":
            raise ValueError("it fails")

    whole(return_state=True)
    told = {name: (held, what) for name, (_, held, what) in seen.items()}
    assert told == {name: (True, (name, "from the command line")) for name in ("part", "whole")}
    files = {file for file, _, _ in seen.values()}
    assert len(files) == 2
    assert not any(file.exists() for file in files)
    assert files == {file for file in files if file.parent.parent.parent == home}


@pytest.mark.parametrize("one", [evaluate, ingest, pipeline, predict, prepare, promote, split, train])
def test_every_flow_does_so_and_ends_as_cancelled_where_it_was(one):
    assert one.on_running_hooks == [hold_run]
    assert one.on_cancellation_hooks[0] is end_as_cancelled
