"""Settings of recipes, trainings and flows, deployments, events and environment variables, from their models."""

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from db.variables import OF_OTHERS, kits_variables
from deployments.reference.markdown import code, page, prose, table
from deployments.reference.sources import ROOT, called, constants, modules, text_of
from flows import parameters
from kits_core.form import choices_of
from kits_core.network.config import TrainingConfig
from kits_core.recipe.recipe import Recipe

_BOUNDS = {"ge": "at least {}", "gt": "more than {}", "le": "at most {}", "lt": "less than {}",
           "multiple_of": "a multiple of {}", "min_length": "at least {} of them"}  # fmt: skip


def flow_parameters() -> list[type[BaseModel]]:
    """The models of what flows take, in the order in which they are defined."""
    found = [model for name, model in vars(parameters).items() if name.endswith("Parameters") and name[0] != "_"]
    return [model for model in found if isinstance(model, type) and issubclass(model, BaseModel)]


def settings_page() -> str:
    """The page of all settings."""
    return page(
        "# Settings",
        "Made from the code: the models that the command line, the dashboard's forms and the catalog share.",
        *_model(Recipe, "Recipe"),
        *_model(TrainingConfig, "TrainingConfig"),
        "# What each flow takes",
        *(part for model in flow_parameters() for part in _model(model, model.__name__)),
    )


def environment_page() -> str:
    """The page of all environment variables."""
    return page(
        "# Environment variables",
        "Made from the code.",
        table(("variable", "what"), ((code(name), text) for name, text in sorted(kits_variables().items()))),
        "## Of other programs",
        "These are heeded, or passed on:",
        table(("variable", "what"), ((code(name), text) for name, text in OF_OTHERS.items())),
    )


def deployments_page() -> str:
    """The page of all deployments, of the artifacts that they leave, and of the events that start them."""
    from tasks import events  # noqa: PLC0415 - which imports Prefect

    described = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
    emitted = {events.DATASET_CHANGED: events.dataset_changed, events.MODEL_TRAINED: events.model_trained}
    return page(
        "# Deployments, artifacts, events",
        "Made from `prefect.yaml` and the code. `kits up` makes all of them. A deployment's form in the dashboard has "
        "the fields of its parameters. [Every day](../running.md) says how they are used.",
        *(part for deployment in described["deployments"] for part in _deployment(deployment)),
        "## Artifacts",
        "Each keeps its history under its key, and is shown in the dashboard. `…` is the name of the stage.",
        table(("key", "what", "made by"), artifacts()),
        "## Events",
        table(("event", "when", "payload"), (_event(name, emit) for name, emit in emitted.items())),
    )


def artifacts() -> list[tuple[str, str, str]]:
    """Key, description and module of every artifact that flows and tasks make."""
    found = []
    for module, tree in modules("flows", "tasks").items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and re.fullmatch(r"create_\w+_artifact", called(node)):
                words = {word.arg: text_of(word.value, constants(tree)) for word in node.keywords}
                found.append((code(words["key"]), words.get("description", ""), code(module)))
    return sorted(set(found))


def _model(model: type[BaseModel], title: str) -> Iterator[str]:
    yield f"## {title}"
    yield prose(inspect.getdoc(model) or "")
    rows = ((code(name), prose(field.description or ""), _kind(field), _default(field))
            for name, field in model.model_fields.items())  # fmt: skip
    yield table(("setting", "what", "values", "default"), rows)


def _kind(field: FieldInfo) -> str:
    """Type and bounds, in words."""
    annotation = field.annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    bounds = [
        text.format(f"{value:g}")
        for constraint in field.metadata
        for name, text in _BOUNDS.items()
        if isinstance(value := getattr(constraint, name, None), int | float)
    ]
    choices = " or ".join(map(code, choices_of(field)))
    return ", ".join([choices or _named(annotation), *bounds])


def _named(annotation: Any) -> str:
    """A type in words: choices one by one, and no `None`, as an empty default says that already."""
    if get_origin(annotation) is Literal:
        return " or ".join(map(code, get_args(annotation)))
    if isinstance(annotation, UnionType):
        return " or ".join(_named(part) for part in get_args(annotation) if part is not type(None))
    return code(annotation.__name__ if get_origin(annotation) is None else str(annotation).replace("typing.", ""))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default is PydanticUndefined or field.default is None:
        return ""
    return code(field.default)


def _deployment(deployment: dict[str, Any]) -> Iterator[str]:
    pool = deployment["work_pool"]
    facts = {"flow": code(deployment["entrypoint"]), "parameters": _parameters_of(deployment["entrypoint"])}
    facts["work pool"] = pool["name"] + (f", queue {pool['work_queue_name']}" if "work_queue_name" in pool else "")
    if preset := deployment.get("parameters", {}).get("parameters"):
        facts["preset"] = ", ".join(f"`{name}: {value}`" for name, value in preset.items())
    for schedule in deployment.get("schedules", []):
        when = (
            f"cron `{schedule['cron']}` ({schedule['timezone']})"
            if "cron" in schedule
            else f"every {schedule['interval']} s"
        )
        facts["schedule"] = f"{when}, {'on' if schedule.get('active', True) else 'off until someone switches it on'}"
    if limit := deployment.get("concurrency_limit"):
        waits = {"ENQUEUE": "the next one waits", "CANCEL_NEW": "another one is cancelled"}
        facts["at once"] = f"{limit['limit']}; {waits[limit['collision_strategy']]}"
    yield f"## {deployment['name']}"
    yield prose(deployment["description"])
    yield table(("", ""), facts.items())


def _parameters_of(entrypoint: str) -> str:
    """The form of a deployment's flow, which takes it as its one parameter."""
    module, _, function = entrypoint.partition(":")
    flow = getattr(import_module(module.removesuffix(".py").replace("/", ".")), function)
    name = get_type_hints(flow.fn)["parameters"].__name__
    return f"[{name}](settings.md#{name.lower()})"


def _event(name: str, emit: Any) -> tuple[str, str, str]:
    source = inspect.getsource(emit)
    payload = source.partition("payload={")[2].partition("}")[0]
    keys = [part.partition(":")[0].strip(' "') for part in payload.split(",")]
    return code(name), prose(inspect.getdoc(emit) or ""), ", ".join(map(code, keys))
