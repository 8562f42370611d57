"""Packages of the `[audio]` extra, imported when first needed."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from ranvier.errors import DataError


def need(module: str) -> ModuleType:
    """Import a module of the extra.

    Raises:
        DataError: it is not installed; names the extra.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise DataError(
            f"Sound needs the extra `audio`: pip install 'ranvier[audio]'. Got no package named {error.name}."
        ) from error
