"""Options that are made from settings: a field's name, type, choices, description and default are said once, there.

Settings take half a second to import. So a verb gets these options when it is called, and `kits --help` waits for none.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args

import typer

from kits_core.form import choices_of, without_unit

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

Given = dict[str, Any]
"""The options that were given, by the names of their fields. The others take the defaults of the settings."""
M = TypeVar("M", bound="BaseModel")

_SPELLED = {"from_model": "from", "for_model": "for", "own": "from"}
_GIVEN = "given"
_made_later: "dict[str, _Verb]" = {}


@dataclass(frozen=True)
class Fields:
    """Fields of a model that are options of a verb.

    `model`: as `flows.parameters:SplitParameters`. `leave_out`: fields that the verb has in another way. `panel`: the
    title above them in the help; `panels`: the title for each field, by its name, as `module:NAME`.
    """

    model: str
    leave_out: tuple[str, ...] = ()
    panel: str | None = None
    panels: str | None = None

    def options(self) -> Iterator[inspect.Parameter]:
        """One parameter a field, None unless the option is given."""
        titles: Mapping[str, str] = _imported(self.panels) if self.panels else {}
        for name, info in _imported(self.model).model_fields.items():
            if name not in self.leave_out:
                yield _option(name, info, titles.get(name, self.panel))


def options_of(*sources: Fields) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a verb the options of settings, where its parameter `given: Given` stands. Goes below `app.command()`."""

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        def call(**values: Any) -> None:
            own = {name: values.pop(name) for name in list(values) if name in parameters}
            verb(**own, given={name: value for name, value in values.items() if value is not None})

        parameters = inspect.signature(verb, eval_str=True).parameters
        call.__name__, call.__doc__ = verb.__name__, verb.__doc__
        _sign(call, [one for one in parameters.values() if one.name != _GIVEN])
        _made_later[verb.__name__] = _Verb(call, list(parameters.values()), sources)
        return call

    return decorate


def make_options(verb: str | None = None) -> None:
    """Give a verb its options of settings, or all verbs. Nothing happens for one that has none."""
    for name in list(_made_later) if verb is None else [verb]:
        if name in _made_later:
            _made_later[name].make()


def of(model: type[M], given: Given) -> Given:
    """Those of the options that are fields of a model."""
    return {name: value for name, value in given.items() if name in model.model_fields}


@dataclass(frozen=True)
class _Verb:
    call: Callable[..., None]
    parameters: Sequence[inspect.Parameter]
    sources: Sequence[Fields]

    def make(self) -> None:
        options = [option for source in self.sources for option in source.options()]
        place = [one.name for one in self.parameters].index(_GIVEN)
        _sign(self.call, [*self.parameters[:place], *options, *self.parameters[place + 1 :]])


def _sign(call: Callable[..., None], parameters: Sequence[inspect.Parameter]) -> None:
    """Let Typer find these parameters."""
    named = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
    call.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]
    call.__annotations__ = {one.name: one.annotation for one in named}


def _option(name: str, info: "FieldInfo", panel: str | None) -> inspect.Parameter:
    kinds = [kind for kind in get_args(info.annotation) if kind is not NoneType]
    kind: Any = kinds[0] if NoneType in get_args(info.annotation) else info.annotation
    if choices := choices_of(info):
        kind = Literal[tuple(choices)]
    bare, unit = without_unit(name)
    word = _SPELLED.get(name, bare).replace("_", "-")
    spelled = f"--{word}/--no-{word}" if kind is bool and info.default else f"--{word}"
    text = f"{info.description} In {unit}." if unit else info.description
    option = typer.Option(spelled, help=text, show_default=_shown(info), rich_help_panel=panel)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def _shown(info: "FieldInfo") -> str | bool:
    """A default as it is typed; the description says what happens without one."""
    if info.default is None or info.default is False or info.default_factory is not None:
        return False
    if info.default is True:
        return "yes"
    if isinstance(info.default, tuple):
        return " ".join(f"{value:g}" for value in info.default)
    return f"{info.default:g}" if isinstance(info.default, float) else str(info.default)


def _imported(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
