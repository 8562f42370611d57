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


class LostProcessError(RunError):
    """Another of the processes that train a network together ended, or did not answer in time."""


class RunawayError(RanvierError):
    """A unit spiked more often in one sample than its layer allows.

    Args:
        sample: index in the batch of the first sample concerned.
        limit: spikes per unit and sample.
        layer: the layer's name, where it has one.
    """

    def __init__(self, sample: int, limit: int, layer: str | None = None) -> None:
        self.sample, self.limit, self.layer = sample, limit, layer
        where = "A layer" if layer is None else f"Layer '{layer}'"
        super().__init__(
            f"{where} must emit at most {limit} spikes per unit and sample (`max_spikes_per_unit`). "
            f"Got more in sample {sample}: lower its weights, or set overflow='truncate'."
        )
