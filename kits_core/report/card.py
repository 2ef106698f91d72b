"""The model card: what lies beside a checkpoint so that it can be judged without the catalog (Mitchell et al. 2019)."""

from dataclasses import replace

from kits_core.own_folds import OWN
from kits_core.report.methods import Lineage, chosen_on, training_paragraph
from kits_core.text import markdown


def model_card(lineage: Lineage, prepared_sha256: str) -> str:
    """Markdown. `prepared_sha256`: of all prepared files that were trained on and validated with, by name."""
    environment = {name: markdown(value) for name, value in sorted(lineage.environment.items())}
    lineage = replace(
        lineage, dataset=markdown(lineage.dataset), source=markdown(lineage.source), environment=environment
    )
    by = "from a given file" if lineage.strata == (OWN,) else f"seed {lineage.split_seed}"
    facts = {
        "Checkpoint": f"SHA-256 `{lineage.model_sha256}`, epoch {lineage.model_epoch} of run {lineage.run_id}",
        "Parameters": f"{lineage.parameters:,}",
        "Score": f"{lineage.score:.4f}, mean Dice of kidney and tumour on the recipe's grid over {chosen_on(lineage)}",
        "Dataset": f"{lineage.dataset}, from {lineage.source}",
        "Split": f"`{lineage.split_hash}` ({by}): {lineage.train_cases} cases for training, "
        f"{lineage.validation_cases} for validation",
        "Recipe": f"`{lineage.recipe.hash}`, frame {lineage.recipe.frame}; all of it in `recipe.json`",
        "Settings": f"`{lineage.config.hash}`; all of them in `config.json`",
        "Prepared files": f"SHA-256 over their hashes `{prepared_sha256}`",
        **{markdown(name.capitalize()): value for name, value in environment.items()},
    }
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    licence = f"- {lineage.licence}. The model falls under the same licence.\n" if lineage.licence else ""
    return f"""# Model {lineage.model_id}

**Research only. Not a medical device.** It segments kidneys and kidney tumours in CT of the abdomen, as input for
research; no one may be treated by what it says.

| | |
|---|---|
{rows}

## How it was made

{training_paragraph(lineage)}

## What to keep in mind

- The checkpoint was chosen by the validation cases, so its score on them flatters it. An evaluation on the original grid,
  with intervals and the worst cases, is made by `kits evaluate --model {lineage.model_id}`.
- It was only measured on cases like its training cases. Nothing is known about other scans and patients, for example
  about patients without a tumour if all training cases have one.
{licence}"""
