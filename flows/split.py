"""Split a dataset into training and validation."""

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.artifacts import markdown, table
from flows.names import NAMES
from flows.parameters import SplitParameters
from tasks.at_work import FLOW
from tasks.split import SplitMade, Wanted, split_dataset


@flow(name="split", flow_run_name=NAMES["split"], **FLOW)
def split(parameters: SplitParameters) -> SplitMade:
    """Make the split, or find it, and compare its sides."""
    wanted = Wanted(parameters.validation, parameters.folds, parameters.seed, parameters.own, parameters.keep)
    made = split_dataset(parameters.dataset, wanted)
    create_markdown_artifact(
        f"# Split {made.split_id} of {markdown(made.dataset)}\n\n{table(made.comparison)}\n",
        key="split",
        description="Both sides of a split",
    )
    return made
