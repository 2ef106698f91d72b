"""Split a dataset into training and validation."""

from prefect.artifacts import create_markdown_artifact

from flows.artifacts import markdown, table
from flows.parameters import SplitParameters
from flows.stage import stage
from tasks.split import SplitMade, Wanted, split_dataset


@stage(SplitParameters)
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
