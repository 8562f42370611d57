"""The command line: parse, call, print."""

from ranvier.cli.main import main

__all__ = ["main"]
