"""The reference pages of the site, made from the recipe's models, the commands and the registries when it is built.

``mkdocs.yml`` names this file as a hook; nothing of it is written into ``docs/``. By hand:

    .venv/bin/python tools/docs_reference.py recipe | less
"""

from __future__ import annotations

import inspect
import json
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # mkdocs runs a hook without the folder above it

import peftsum
from peftsum.cli import cli
from peftsum.cost import METERS
from peftsum.methods import METHODS
from peftsum.metrics import METRICS
from peftsum.recipe import Recipe
from peftsum.sweep_file import SweepFile
from peftsum.wordings import PROMPTS

Kind = type[BaseModel]


# Recipes -------------------------------------------------------------------------------------------------------------


def recipe_page() -> str:
    """Return a table for each section of a recipe, from the models that check it."""
    lines = [
        "# Recipe keys",
        "",
        "Every key of a recipe: its type, its default, and what it does. `peftsum train --help-recipe` prints the "
        "same. On the command line a key is set as `--set train.epochs=2`.",
        "",
        *_section("", Recipe, skip={n for n, f in Recipe.model_fields.items() if _model(f) or n == "method"}),
    ]
    for name, field in Recipe.model_fields.items():
        if name == "method":
            lines += ["## method", "", "`method.kind` picks one of these; the other keys depend on it.", ""]
            for kind, method in METHODS.items():
                lines += _section(f"method: {kind}", method, path="method", level=3)
        elif (model := _model(field)) is not None:
            lines += _section(name, model, path=name)
    lines += ["## Sweep files", "", "What `peftsum sweep` reads.", "", *_section("", SweepFile)]
    return "\n".join(lines)


def _section(title: str, model: Kind, *, path: str = "", level: int = 2, skip: Iterable[str] = ()) -> list[str]:
    """Return a heading, the model's doc and a table of its fields; a field that is a model has a section after it."""
    lines = [f"{'#' * level} {title}", ""] if title else []
    if title and model.__doc__:
        lines += [*inspect.cleandoc(model.__doc__).splitlines(), ""]
    nested: list[str] = []
    rows = []
    for name, field in model.model_fields.items():
        key = f"{path}.{name}" if path else name
        inner = _model(field)
        if name in skip:
            continue
        if inner is not None:
            nested += _section(key, inner, path=key, level=level + 1)
            continue
        rows.append(f"| `{key}` | {_type(field)} | {_default(field)} | {_cell(field.description or '')} |")
    return [*lines, "| key | type | default | meaning |", "|---|---|---|---|", *rows, "", *nested]


def _model(field: FieldInfo) -> Kind | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _type(field: FieldInfo) -> str:
    bounds = [str(rule) for rule in field.metadata if not hasattr(rule, "func")]
    limits = [_bound(rule) for rule in bounds]
    return _cell(", ".join([_type_name(field.annotation), *(limit for limit in limits if limit)]))


def _bound(rule: str) -> str:
    """Return a limit as people write it, for example ``> 0`` for ``Gt(gt=0)``."""
    signs = {"Gt": ">", "Ge": "≥", "Lt": "<", "Le": "≤"}  # as on paper
    name, _, rest = rule.partition("(")
    return f"{signs[name]} {rest.rstrip(')').partition('=')[2]}" if name in signs else ""


def _type_name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_type_name(one) for one in arguments)
    if annotation is type(None):
        return "none"
    if origin is not None and arguments:
        inner = [_type_name(one) for one in arguments if one is not Ellipsis]
        return f"{_plain(origin)} of {' to '.join(inner)}"
    return _plain(annotation)


def _plain(kind: Any) -> str:
    names = {str: "text", int: "whole number", float: "number", bool: "true or false", tuple: "list", dict: "mapping"}
    return names.get(kind, getattr(kind, "__name__", str(kind)))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "none"
    return f"`{json.dumps(value, default=str)}`" if not isinstance(value, str) else f"`{value}`"


def _cell(text: str) -> str:
    """Return text that stays in one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


# Commands ------------------------------------------------------------------------------------------------------------


def commands_page() -> str:
    """Return every command with what its ``--help`` says."""
    lines = [
        "# Commands",
        "",
        "What `peftsum COMMAND --help` says. Exit codes: 0 done, 1 failed, 2 bad usage, recipe, data, model or "
        "adapter, 3 does not fit, 130 interrupted.",
        "",
    ]
    group = click.Context(cli, info_name="peftsum")
    for name in sorted(cli.commands):
        lines += _command(cli.commands[name], click.Context(cli.commands[name], info_name=name, parent=group))
    return "\n".join(lines)


def _command(command: click.Command, context: click.Context) -> list[str]:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    records = [record for p in command.params if (record := p.get_help_record(context)) is not None]
    records = [(names, text) for names, text in records if text]  # an argument has its words in the description
    example = inspect.cleandoc((command.epilog or "").replace("\b", "")).partition("Example:\n")[2]
    return [
        f"## {context.command_path}",
        "",
        f"    {usage}",
        "",
        *inspect.cleandoc(command.help or "").replace("\b", "").splitlines(),
        "",
        "| option | what it does |",
        "|---|---|",
        *(f"| `{_cell(names)}` | {_cell(text)} |" for names, text in records),
        "",
        *(["Example:", "", *_as_blocks(example), ""] if example else []),
    ]


def _as_blocks(example: str) -> Iterator[str]:
    """Yield an example with its indented lines as code and the rest as words."""
    code: list[str] = []
    for line in [*example.splitlines(), "."]:
        if line.startswith("    "):
            code.append(line[4:])
            continue
        if code:
            yield from ["```bash", *code, "```", ""]
            code = []
        if line and line != ".":
            yield line


# Python, and names ---------------------------------------------------------------------------------------------------


def python_page() -> str:
    """Return what ``from peftsum import …`` gives, with signatures and docs."""
    lines = ["# Python", "", "What `from peftsum import …` gives. The commands are thin callers of these.", ""]
    for name in sorted(n for n in peftsum.__all__ if n != "__version__"):
        thing = getattr(peftsum, name)
        lines += [f"## {name}", "", *_documented(name, thing)]
        if inspect.isclass(thing) and not issubclass(thing, Exception):
            for method, function in vars(thing).items():
                if not method.startswith("_") and inspect.isfunction(function):
                    lines += [f"### {name}.{method}", "", *_documented(method, function)]
    return "\n".join(lines)


def _documented(name: str, thing: Any) -> list[str]:
    """Return signature and doc as plain text: our docs are laid out to be read as they stand."""
    plain = inspect.isclass(thing) and issubclass(thing, Exception)
    head = [name] if plain else _signature(name, inspect.signature(thing))
    return ["```text", *head, "", *(inspect.getdoc(thing) or "").splitlines(), "```", ""]


def _signature(name: str, signature: inspect.Signature) -> list[str]:
    """Return a call on one line, or with a line for each parameter where it is long."""
    parts = []
    starred = False
    for parameter in signature.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        shown = f"{parameter.name}: {parameter.annotation}"
        parts.append(shown if parameter.default is parameter.empty else f"{shown} = {parameter.default!r}")
    end = "" if signature.return_annotation in (signature.empty, "None") else f" -> {signature.return_annotation}"
    line = f"{name}({', '.join(parts)}){end}"
    return [line] if len(line) <= 90 else [f"{name}(", *(f"    {part}," for part in parts), f"){end}"]


def names_page() -> str:
    """Return what the registries hold."""
    registries = {"Methods": METHODS, "Metrics": METRICS, "Meters": METERS}
    uses = {
        "Methods": "`method.kind` in a recipe picks one.",
        "Metrics": "Each is computed for every dialogue that is scored.",
        "Meters": "Each stands around every training and every generation.",
        "Prompts": "`prompt.kind` in a recipe picks one; `template` takes a wording of your own.",
    }
    told = {title: {name: _first(thing) for name, thing in held.items()} for title, held in registries.items()}
    told["Prompts"] = {name: f"`{text.encode('unicode_escape').decode()}`" for name, text in PROMPTS.items()}
    lines = ["# Methods, metrics, meters, prompts", ""]
    for title, rows in told.items():
        lines += [f"## {title}", "", uses[title], "", "| name | what it is |", "|---|---|"]
        lines += [*(f"| `{name}` | {_cell(text)} |" for name, text in rows.items()), ""]
    return "\n".join(lines)


def _first(thing: Any) -> str:
    """Return the first paragraph of a doc."""
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].replace("``", "`").split())


PAGES: dict[str, Callable[[], str]] = {
    "recipe": recipe_page,
    "commands": commands_page,
    "python": python_page,
    "names": names_page,
}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages to the site (an event of mkdocs)."""
    from mkdocs.structure.files import File

    for name, make in PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content=make()))
    return files


if __name__ == "__main__":
    wanted = sys.argv[1] if len(sys.argv) > 1 else "recipe"
    if wanted not in PAGES:
        sys.exit(f"no page named {wanted!r}; known: {', '.join(PAGES)}")
    print(PAGES[wanted]())
