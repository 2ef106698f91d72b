"""Every command with its options, from the Typer application."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import typer

from deployments.cli import EXIT_STATUS, VERBS
from deployments.cli.app import app
from deployments.cli.options import make_options
from deployments.reference.markdown import code, page, prose, table


def commands() -> dict[str, Any]:
    """Typer's commands by what a user types after `kits`, in the order of the alphabet."""
    for verb in VERBS:
        import_module(f"deployments.cli.{verb}")
    make_options()
    return dict(sorted(_below(typer.main.get_command(app), "")))


def commands_page() -> str:
    """The page of all commands."""
    made = commands()
    return page(
        "# Commands",
        "Made from the code. `kits VERB --help` shows the same in a terminal. `kits --version` says which version "
        "this is.",
        table(
            ("command", "what"),
            ((f"[`kits {name}`](#kits-{name.replace(' ', '-')})", _first(c)) for name, c in made.items()),
        ),
        "## Exit status",
        table(("status", "when"), ((str(status), when) for status, when in EXIT_STATUS.items())),
        *(part for name, command in made.items() for part in _sections(name, command)),
    )


def _below(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    if (children := getattr(command, "commands", None)) is None:
        yield name, command
        return
    for child, found in children.items():
        yield from _below(found, f"{name} {child}".strip())


def _first(command: Any) -> str:
    return prose(command.help or "").split("\n\n", maxsplit=1)[0]


def _sections(name: str, command: Any) -> Iterator[str]:
    yield f"## kits {name}"
    yield prose(command.help or "")
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    if arguments:
        rows = ((code(p.metavar or p.name.upper()), p.help or "", _given(p)) for p in arguments)
        yield table(("argument", "what", "default"), rows)
    if options:
        yield table(("option", "what", "default"), ((_spelling(p), _help(p), _default(p)) for p in options))


def _spelling(option: Any) -> str:
    return ", ".join(map(code, (*option.opts, *option.secondary_opts)))


def _help(option: Any) -> str:
    text = option.help or ""
    return f"{text} Environment: `{option.envvar}`." if option.envvar else text


def _given(argument: Any) -> str:
    return "required" if argument.required else _default(argument)


def _default(parameter: Any) -> str:
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    default = parameter.default
    if default is None or default is False or callable(default):
        return "required" if parameter.required else ""
    return code(default)
