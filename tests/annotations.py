"""Annotations of the library are checked as its code runs, all but those of functions within functions.

As jaxtyping's import hook does it, at a fraction of the cost: that one decorates functions within functions anew at
every call, and binds every call's arguments to names, though only shapes need them. Half of the tests' time went there.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import sys
import types
import typing
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from typing import Any

import jaxtyping
from beartype import beartype

_DECORATOR = "__checked__"


def check(package: str) -> None:
    """Check the annotations of a package that is not imported yet."""
    assert package not in sys.modules
    sys.meta_path.insert(0, _Finder(package))


def checked(defined: Any) -> Any:
    """A function whose arguments and result are checked, unless jaxtyping is disabled; or a dataclass likewise."""
    if inspect.isclass(defined):
        made = vars(defined).get("__init__")
        if dataclasses.is_dataclass(defined) and made is not None and not hasattr(made, "__wrapped__"):
            defined.__init__ = checked(made)  # pyright: ignore
        return defined
    hints = _hints(defined)
    if any(_has_shape(hint) for hint in hints.values()):
        return jaxtyping.jaxtyped(defined, typechecker=beartype)
    if not hints:
        return defined
    resolved = types.FunctionType(
        defined.__code__, defined.__globals__, defined.__name__, defined.__defaults__, defined.__closure__
    )
    resolved.__kwdefaults__ = defined.__kwdefaults__
    resolved.__module__, resolved.__qualname__ = defined.__module__, defined.__qualname__
    resolved.__annotations__ = hints
    checking = beartype(resolved)

    @functools.wraps(defined)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return (defined if jaxtyping.config.jaxtyping_disable else checking)(*args, **kwargs)

    return wrapped


def _hints(function: types.FunctionType) -> dict[str, Any]:
    """The annotations as objects, without those that name what is not there yet or only for type checkers."""
    found = {}
    for name, hint in function.__annotations__.items():
        holder = types.SimpleNamespace(__annotations__={name: hint})
        try:
            found |= typing.get_type_hints(holder, function.__globals__, include_extras=True)
        except Exception:
            continue
    return found


def _has_shape(hint: Any) -> bool:
    if inspect.isclass(hint) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return any(_has_shape(part) for part in typing.get_args(hint))


class _Decorate(ast.NodeTransformer):
    """Adds the decorator next to each function, and outside all others of a class; leaves functions' bodies alone."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.decorator_list.append(_name(node))
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        self.generic_visit(node)
        node.decorator_list.insert(0, _name(node))
        return node


def _name(node: ast.stmt) -> ast.expr:
    return ast.copy_location(ast.Name(_DECORATOR, ast.Load()), node)


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> types.CodeType:
        tree = _Decorate().visit(ast.parse(self.get_data(self.path)))
        return compile(tree, self.path, "exec", dont_inherit=True)

    def exec_module(self, module: types.ModuleType) -> None:
        setattr(module, _DECORATOR, checked)
        super().exec_module(module)


class _Finder(MetaPathFinder):
    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname.partition(".")[0] != self.package:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec
