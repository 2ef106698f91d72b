"""The form of a training: first what people decide, everything else in one block below.

What a filled form says has another shape than `TrainParameters`: the settings of the training stand beside its other
fields, and those that few people change in the block `more`. Both shapes mean the same and both are taken, so that
parameters that were stored before the form goes on working.
"""

from collections.abc import Mapping
from typing import Any

from kits_core.form import suit_a_form
from kits_core.network.config import TrainingConfig
from kits_core.network.presets import PRESETS, chosen, with_preset

FIRST = ("dataset", "prepared", "preset", "epochs", "fold", "evaluate")
BLOCK, CONFIG, PRESET = "more", "config", "preset"
_HIDDEN = (CONFIG, "recipe", "begins_with")
"""What a form has by other fields: `begins_with` is set by `from_model`."""
_TITLE, _DESCRIPTION = "Everything else", "Most trainings leave this as it is."


def arrange(schema: dict[str, Any]) -> None:
    """Change the JSON schema of `TrainParameters` to that of the form.

    Fields that the form does not show, `recipe` and `config` among them, stay allowed as `patternProperties`.
    """
    of_model = schema["properties"]
    settings = TrainingConfig.model_json_schema()["properties"]
    shown = {name: dict(field) for name, field in (of_model | settings).items() if name not in _HIDDEN}
    block = {
        "type": "object",
        "title": _TITLE,
        "description": _DESCRIPTION,
        "properties": {name: field for name, field in shown.items() if name not in FIRST},
        "additionalProperties": False,
    }
    suit_a_form(block)
    schema["properties"] = {name: shown[name] for name in FIRST} | {BLOCK: block}
    suit_a_form(schema)
    hidden = of_model.keys() - schema["properties"].keys()
    schema["patternProperties"] = {f"^{name}$": of_model[name] for name in sorted(hidden)}


def from_form(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Values in the shape of `TrainParameters`, from either shape. What the form shows counts before what it hides."""
    values = dict(asked)
    block = values.pop(BLOCK, None) or {}
    shown = block | {name: values.pop(name) for name in FIRST if name in TrainingConfig.model_fields and name in values}
    settings = {name: value for name, value in shown.items() if name in TrainingConfig.model_fields}
    values |= {name: value for name, value in shown.items() if name not in settings}
    config = values.get(CONFIG) or {}
    hidden = config.model_dump(exclude_unset=True) if isinstance(config, TrainingConfig) else config
    preset = values.get(PRESET)
    if isinstance(preset, str) and PRESETS.get(preset):
        values[CONFIG] = with_preset(preset, {**hidden, **chosen(settings)})
    elif settings:
        values[CONFIG] = {**hidden, **settings}
    if values.get("prepared") is not None:
        values.pop("recipe", None)
    return values


def to_form(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Values as the form shows them, from either shape. A recipe that is written out stays beside them."""
    values = from_form(asked)
    values |= values.pop(CONFIG, None) or {}
    first = {name: values.pop(name) for name in (*FIRST, "recipe") if name in values}
    return first | ({BLOCK: values} if values else {})
