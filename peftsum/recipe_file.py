"""Reading recipes: YAML with line numbers, ``--set`` overrides, and every error of a file at once."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails
from yaml.reader import ReaderError

from peftsum.exceptions import RecipeError
from peftsum.methods import METHODS
from peftsum.objective import OBJECTIVES
from peftsum.recipe import Recipe
from peftsum.registry import Registry

Path_ = tuple[str | int, ...]

MERGE_TAG = "tag:yaml.org,2002:merge"
NOT_A_SECTION = {"dict_type", "model_type", "model_attributes_type"}  # pydantic's words for "no mapping here"

KINDS: dict[Path_, Registry[Any]] = {("method",): METHODS, ("train", "objective"): OBJECTIVES}
"""Sections of several kinds, by their path."""

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80


class _Loader(yaml.SafeLoader):
    """Safe YAML that reads ``1e-3`` as the number it is (YAML 1.1 as PyYAML has it wants ``1.0e-3``)."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*)(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


class _Source:
    """A YAML text as plain values, with the line each path stands on."""

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.lines: dict[Path_, int] = {}
        self.problems: list[str] = []
        self._walked: set[int] = set()
        try:
            self.values: Any = self._read(text)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = f":{mark.line + 1}" if mark else ""
            raise self._no_yaml(line, error.problem or error.context or "") from error
        except ReaderError as error:
            line = f":{text.count(chr(10), 0, error.position) + 1}"
            raise self._no_yaml(line, f"it holds the control character {error.character:#04x}") from error
        except ValueError as error:  # a date such as 2024-13-45
            raise self._no_yaml("", str(error)) from error
        except RecursionError as error:
            raise self._no_yaml("", "it is nested too deeply") from error

    def _no_yaml(self, line: str, reason: str) -> RecipeError:
        return RecipeError(
            f"{self.name}{line}: not valid YAML: {reason}",
            hint="mind the indentation, and quote texts that hold ': ' or '#'",
        )

    def _read(self, text: str) -> Any:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return {}
            self._walk(loader, node, ())
            return loader.construct_document(node)
        finally:
            loader.dispose()

    def _walk(self, loader: _Loader, node: yaml.Node, path: Path_) -> None:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if id(node) in self._walked:  # an alias; one that holds itself would never end
            return
        self._walked.add(id(node))
        if isinstance(node, yaml.MappingNode):
            seen: set[Hashable] = set()
            for key_node, value_node in node.value:
                if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == MERGE_TAG:
                    continue  # the first is refused when it is constructed, the second is resolved there
                key = loader.construct_object(key_node)
                line = key_node.start_mark.line + 1
                if key in seen:
                    self.problems.append(f"{self.name}:{line}: {_dotted((*path, key))} stands twice")
                seen.add(key)
                self.lines[(*path, key)] = line
                self._walk(loader, value_node, (*path, key))
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._walk(loader, item, (*path, index))

    def where(self, path: Path_) -> str:
        """Return ``file:line`` of the path, or of the nearest section around it that stands in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        line = self.lines.get(path)
        return f"{self.name}:{line}" if line else self.name


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe file.

    Args:
        path: a YAML file.
        overrides: settings such as ``train.epochs=2``; the value is read as YAML.

    Raises:
        RecipeError: the file is missing or not UTF-8 YAML, or holds errors: all of them are in the message, each with
            its line, path, value and, for a misspelt key, the nearest valid one.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RecipeError(f"no recipe at {path}", hint=_recipe_hint(path)) from error
    except IsADirectoryError as error:
        raise RecipeError(f"{path} is a folder, not a recipe", hint="name a .yaml file") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8 text", hint="save the recipe as UTF-8") from error
    except OSError as error:
        raise RecipeError(f"cannot read {path}: {error.strerror}", hint="check the file's permissions") from error
    return parse_recipe(text, name=str(path), overrides=overrides)


def parse_recipe(text: str, *, name: str = "recipe", overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe from YAML text; see :func:`load_recipe`."""
    source = _Source(text, name)
    if not isinstance(source.values, dict):
        raise RecipeError(f"{name}: not a mapping of sections", hint="start with `name:` and `method:`")
    values = source.values
    set_paths = {}
    for override in overrides:
        keys = _apply(values, override)
        set_paths[keys] = override
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        problems = source.problems + [_describe(e, source, set_paths) for e in _one_a_union(error.errors())]
        raise _as_error(problems) from error
    if source.problems:
        raise _as_error(source.problems)
    return recipe


def _as_error(problems: list[str]) -> RecipeError:
    hint = "correct it" if len(problems) == 1 else f"correct all {len(problems)}"
    return RecipeError("\n".join(problems), hint=f"{hint}; `peftsum train --help-recipe` lists every key")


def _recipe_hint(path: Path) -> str:
    folder = path.parent if path.parent.is_dir() else Path()
    near = difflib.get_close_matches(path.name, [p.name for p in folder.glob("*.yaml")], n=1)
    return f"did you mean {folder / near[0]}?" if near else "`peftsum init DIR` writes starter recipes"


def _apply(values: dict[str, Any], override: str) -> Path_:
    """Set one ``a.b=value`` in place and return its path; only the first ``=`` separates."""
    dotted, separator, text = override.partition("=")
    keys = tuple(dotted.strip().split("."))
    if not separator or not all(keys):
        raise RecipeError(f"--set {override}: not of the form a.b=value", hint="for example --set train.epochs=2")
    try:
        value = yaml.load(text, Loader=_Loader)  # _Loader is a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecipeError(f"--set {override}: the value is not YAML", hint="quote it: --set 'a.b=\"text\"'") from error
    section = values
    for key in keys[:-1]:
        inner = section.get(key)
        section[key] = inner if isinstance(inner, dict) else {}
        section = section[key]
    section[keys[-1]] = value
    return keys


def _one_a_union(errors: Iterable[ErrorDetails]) -> list[ErrorDetails]:
    """Return one error for a value that fits none of several types, where pydantic gives one for each of them.

    Kept is one inside the value, such as the third item of a list, before one of the value as a whole.
    """
    kept: dict[Path_, ErrorDetails] = {}
    for error in errors:
        path = tuple(error["loc"])
        union = next((path[:i] for i, part in enumerate(path) if _is_tag(part) and part != "[key]"), path)
        inner = len(_without_tags(path)) > len(_without_tags(union))
        if union not in kept or inner:
            kept[union] = error
    return list(kept.values())


def _is_tag(part: str | int) -> bool:
    return isinstance(part, str) and part.endswith("]") and "[" in part


def _describe(error: ErrorDetails, source: _Source, set_paths: Mapping[Path_, str]) -> str:
    path = _without_tags(error["loc"])
    message = error["msg"].removeprefix("Value error, ")
    if error["type"].startswith("union_tag"):
        path = (*path, "kind")
    elif error["type"] == "value_error" and not path and (named := re.match(r"[a-z_]+(\.[a-z_]+)+(?=[: ])", message)):
        return f"{_place(tuple(named[0].split('.')), source, set_paths)}: {message}"
    where = _place(path, source, set_paths)
    if error["type"] == "extra_forbidden" or error["loc"][-1:] == ("[key]",):
        known = _expected(error) or _keys_at(path[:-1], source.values)
        guesses = difflib.get_close_matches(str(path[-1]), known, n=1, cutoff=0.5)
        advice = f"did you mean {guesses[0]}?" if guesses else f"known: {', '.join(known)}"
        return f"{where}: unknown key {_dotted(path)}; {advice}"
    if error["type"] == "missing":
        return f"{where}: {_dotted(path)} is missing"
    if error["type"].startswith("union_tag"):
        return f"{where}: {_dotted(path)} {_advice_for_kind(error['input'], KINDS[path[:-1]])}"
    value = error["input"]
    if error["type"] in NOT_A_SECTION:
        message = f"should be a section of keys{', such as `kind: lora`' if path == ('method',) else ''}"
    near = _near_literal(error, value)
    shown = f" (got {_short.repr(value)}{near})" if not isinstance(value, (dict, BaseModel)) else ""
    return f"{where}: {_dotted(path)}: {message[0].lower()}{message[1:]}{shown}"


def _place(path: Path_, source: _Source, set_paths: Mapping[Path_, str]) -> str:
    """Return the override that set the path, or something around or inside it, or else its place in the file."""
    covering = [text for keys, text in set_paths.items() if path[: len(keys)] == keys]
    inside = [text for keys, text in set_paths.items() if keys[: len(path)] == path and path not in source.lines]
    chosen = covering or inside
    return f"--set {chosen[-1]}" if chosen else source.where(path)


def _expected(error: ErrorDetails) -> list[str]:
    return re.findall(r"'([^']+)'", str(error.get("ctx", {}).get("expected", "")))


def _near_literal(error: ErrorDetails, value: object) -> str:
    near = difflib.get_close_matches(str(value), _expected(error), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def _advice_for_kind(section: object, kinds: Registry[Any]) -> str:
    kind = section.get("kind") if isinstance(section, dict) else None
    known = ", ".join(kinds)
    if kind is None:
        return f"is missing; known: {known}"
    near = difflib.get_close_matches(str(kind), list(kinds), n=1, cutoff=0.4)
    return f"is no {kinds.kind} (got {_short.repr(kind)}; {f'did you mean {near[0]}? ' if near else ''}known: {known})"


def _without_tags(location: Iterable[str | int]) -> Path_:
    """Return a pydantic location without the tags it inserts: a method's kind, a union's member, a key's mark."""
    path = tuple(part for part in location if not _is_tag(part))
    for key, kinds in KINDS.items():
        if path[: len(key)] == key and path[len(key) : len(key) + 1] and path[len(key)] in kinds:
            path = (*key, *path[len(key) + 1 :])
    return path


def _keys_at(path: Path_, values: dict[str, Any]) -> list[str]:
    """Return the valid keys of the section at a path."""
    model: type[BaseModel] | None = Recipe
    section: Any = values
    for i, key in enumerate(path, start=1):
        section = section.get(key) if isinstance(section, dict) else None
        if path[:i] in KINDS:
            kind = section.get("kind") if isinstance(section, dict) else None
            model = KINDS[path[:i]].get(str(kind))
        elif model is not None:
            field = model.model_fields.get(str(key))
            annotation = field.annotation if field else None
            model = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
        if model is None:
            return []
    return list(model.model_fields) if model else []


def _dotted(path: Path_) -> str:
    return ".".join(str(key) for key in path)


def recipe_reference() -> str:
    """Return every recipe key with its type, default and meaning, as plain text."""
    lines: list[str] = []
    for name, field in Recipe.model_fields.items():
        if name == "method":
            for kind, method in METHODS.items():
                lines += [f"method:  # kind: {kind}", *_fields(method)]
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            lines += [f"{name}:  # {(field.annotation.__doc__ or '').splitlines()[0]}", *_fields(field.annotation)]
        else:
            lines.append(f"{name}: {field.description}")
    for kind, objective in OBJECTIVES.items():
        lines += [f"train.objective:  # kind: {kind}", *_fields(objective)]
    return "\n".join(lines)


def _fields(model: type[BaseModel]) -> list[str]:
    lines = []
    for name, field in model.model_fields.items():
        if name == "kind" and len(get_args(field.annotation)) == 1:
            continue
        default = (
            "required"
            if field.is_required()
            else TypeAdapter(Any).dump_python(field.get_default(call_default_factory=True), mode="json")
        )
        lines.append(f"  {name}: {default}  # {' '.join((field.description or '').split())}")
    return lines
