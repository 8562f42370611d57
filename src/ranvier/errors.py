"""Errors that a user can cause: each carries one sentence naming the thing, the rule and the value received.

Wrong arguments raise Python's own `ValueError` and `TypeError`; the classes here are for what only the disk or a
running training reveals, so that the command line can print them without a traceback.
"""


class RanvierError(Exception):
    """Base of the errors a user can meet and mend."""


class DataError(RanvierError):
    """A data file is missing, damaged, or not what its name says."""


class RunError(RanvierError):
    """A training run cannot start, continue or be read."""
