"""Find kinds: one file each, found by the name of the file, or by the import path of a class.

In a config a kind is a mapping. ``{kind: l1, weight: 0.01}`` names a file of this package and its
options. ``{class_path: my_package.MyTerm, init_args: {weight: 0.01}}`` names any class, as in the
rest of the YAML. A single word is a kind without options. There is no list of kinds: add a file.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jsonargparse import Namespace

from sae.errors import InputError, error_prefix, show

T = TypeVar("T")
# The type of an option that describes a kind. The parser must try a mapping first; otherwise it
# would create the object of a class_path itself.
if TYPE_CHECKING:
    Settings = Any
else:
    Settings = dict[str, Any] | Any


def names(room: str, base: type) -> list[str]:
    """Return the names of the kinds in a package.

    Args:
        room: The package, such as ``sae.terms``.
        base: Base class of each kind.
    """
    package = importlib.import_module(room)
    modules = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return [name for name in modules if _in_file(f"{room}.{name}", base) is not None]


def find(name: str, room: str, base: type[T], key: str) -> type[T]:
    """Return the class with a given name.

    Args:
        name: Name of a kind in ``room``, or the import path of a class.
        room: The package of our kinds.
        base: Required base class.
        key: Name of the option, for messages.

    Raises:
        InputError: There is no such class, or it does not have the base class.
    """
    if "." in name:
        return _imported(name, base, key)
    check_name(name, names(room, base), key)
    kind = _in_file(f"{room}.{name}", base)
    assert kind is not None
    return kind


def check_name(name: str, ours: Sequence[str], key: str) -> None:
    """Raise :class:`InputError` for a name that no kind has.

    Args:
        name: The name.
        ours: Names of the existing kinds.
        key: The option that the name was given to, for messages.
    """
    if name not in ours:
        near = difflib.get_close_matches(name, ours, n=1)
        remedy = (
            f"perhaps {near[0]} is meant" if near else "or give the import path of your own class"
        )
        raise InputError(key, f"one of {', '.join(ours)}", show(name), remedy)


def build(settings: Any, room: str, base: type[T], key: str, *given: Any, **also: Any) -> T:
    """Return an instance of the kind that a config describes.

    Args:
        settings: A mapping or a word, as above; an instance of ``base`` is returned unchanged.
        room: The package of our kinds.
        base: Required base class.
        key: Name of the option, for messages.
        given: Positional arguments of the caller.
        also: Keyword arguments of the caller; ``settings`` cannot set them.

    Raises:
        InputError: ``settings`` has another form, there is no such kind, or an option is wrong.
    """
    if isinstance(settings, base):
        return settings
    name, options = _read(settings, key)
    kind = find(name, room, base, key)
    own = _options(kind, len(given), also)
    for option in options:
        if option not in own:
            near = difflib.get_close_matches(str(option), own, n=1)
            has = f"one of {', '.join(own)}" if own else "no options"
            remedy = f"perhaps {near[0]} is meant" if near else "correct the name or take it out"
            raise InputError(f"{key}.{option}", f"{has} for {name}", "this name", remedy)
    missing = [n for n, needed in own.items() if needed and n not in options]
    if missing:
        found = "none"
        raise InputError(f"{key}.{missing[0]}", f"a value for {name}", found, "set it too")
    with error_prefix(key):
        return kind(*given, **also, **options)


def name_of(settings: Any, key: str) -> str:
    """Return the name of the kind in a description."""
    return _read(settings, key)[0]


def with_defaults(settings: Any, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return a description with default values for the options that it leaves out."""
    name, options = _read(settings, "kind")
    options = {**defaults, **options}
    return {"class_path": name, "init_args": options} if "." in name else {"kind": name, **options}


def _read(settings: Any, key: str) -> tuple[str, dict[str, Any]]:
    """Return name and options of a description."""
    if isinstance(settings, Namespace):  # the parser turns mappings inside lists into this
        settings = settings.as_dict()
    if isinstance(settings, str):
        return settings, {}
    if isinstance(settings, Mapping):
        options = {str(name): value for name, value in settings.items()}
        if isinstance(options.get("class_path"), str):
            init = options.get("init_args") or {}
            if isinstance(init, Mapping) and set(options) <= {"class_path", "init_args"}:
                return options["class_path"], dict(init)
        elif isinstance(options.get("kind"), str):
            return str(options.pop("kind")), options
    expected = "{kind: NAME, option: value} or {class_path: PATH, init_args: {option: value}}"
    raise InputError(key, expected, show(settings), "write one of these")


def _options(kind: type, n_given: int, also: Mapping[str, Any]) -> dict[str, bool]:
    """Return the names of the options of a class, and whether each is required."""
    parameters = list(inspect.signature(kind).parameters.values())[n_given:]
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return {p.name: p.default is p.empty for p in named if p.name not in also}


def _in_file(module: str, base: type) -> type | None:
    """Return the first public subclass of ``base`` that a module defines; None without one."""
    for found in vars(importlib.import_module(module)).values():
        ours = inspect.isclass(found) and issubclass(found, base) and found is not base
        if ours and found.__module__ == module and not found.__name__.startswith("_"):
            return None if inspect.isabstract(found) else found
    return None


def look_here() -> None:
    """Add the current folder to the places where modules are searched."""
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))


def _imported(path: str, base: type[T], key: str) -> type[T]:
    module, _, name = path.rpartition(".")
    look_here()
    try:
        if not all(part.isidentifier() for part in path.split(".")):
            raise ValueError("not an import path")
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError, SyntaxError) as error:
        what = " ".join(str(error).split())
        remedy = "correct the path; modules are searched in the current folder and on PYTHONPATH"
        raise InputError(key, f"a class at {show(path)}", f"none ({what})", remedy) from None
    if not (inspect.isclass(found) and issubclass(found, base)):
        remedy = f"name a class that is derived from {base.__module__}.{base.__name__}"
        raise InputError(key, f"a kind of {base.__name__}", show(path), remedy)
    if inspect.isabstract(found):
        lacking = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
        expected = f"all methods of {base.__name__}"
        raise InputError(key, expected, f"{show(path)} without {lacking}", "define them")
    return found
