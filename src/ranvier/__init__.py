"""Ranvier: trains spiking neural networks at the cost of their spikes.

The public names load on first use, so that importing the package, or asking the command line for help, costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_ROOMS = {
    "spikes": ("Spikes", "Support", "collate", "merge"),
    "neurons": ("LI", "LIF", "AdaptiveLIF", "CubaLIF", "Neuron"),
    "gradients": ("Esser", "EventProp", "SigmoidDerivative", "SuperSpike", "Surrogate"),
    "layers": ("Delay", "DelayLine", "Delays", "InputWeighted", "Network", "Readout", "Spiking", "init"),
    "losses": (
        "CrossEntropyOverTime",
        "DeltaMSE",
        "FirstSpikeCrossEntropy",
        "IntegralCrossEntropy",
        "LowerActivity",
        "MaxOverTimeCrossEntropy",
        "MeanOverTimeCrossEntropy",
        "TargetActivity",
        "UpperActivity",
    ),
    "audit": ("check_gradients",),
    "data": (
        "ByColumn",
        "ByRatio",
        "Cochlea",
        "EventRules",
        "LabelledSpikes",
        "SpikeFile",
        "Splits",
        "leave_one_out",
        "load_fashion_mnist",
        "load_fsdd",
        "load_mnist",
        "load_shd",
        "load_spikes",
        "load_ssc",
        "load_yinyang",
    ),
    "training": ("EaseIn", "FitConfig", "Plateau", "WakeAfterEpoch", "WakeSilent", "fit"),
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}

if TYPE_CHECKING:
    from ranvier.audit import check_gradients
    from ranvier.data import (
        ByColumn,
        ByRatio,
        Cochlea,
        EventRules,
        LabelledSpikes,
        SpikeFile,
        Splits,
        leave_one_out,
        load_fashion_mnist,
        load_fsdd,
        load_mnist,
        load_shd,
        load_spikes,
        load_ssc,
        load_yinyang,
    )
    from ranvier.gradients import Esser, EventProp, SigmoidDerivative, SuperSpike, Surrogate
    from ranvier.layers import Delay, DelayLine, Delays, InputWeighted, Network, Readout, Spiking, init
    from ranvier.losses import (
        CrossEntropyOverTime,
        DeltaMSE,
        FirstSpikeCrossEntropy,
        IntegralCrossEntropy,
        LowerActivity,
        MaxOverTimeCrossEntropy,
        MeanOverTimeCrossEntropy,
        TargetActivity,
        UpperActivity,
    )
    from ranvier.neurons import LI, LIF, AdaptiveLIF, CubaLIF, Neuron
    from ranvier.spikes import Spikes, Support, collate, merge
    from ranvier.training import EaseIn, FitConfig, Plateau, WakeAfterEpoch, WakeSilent, fit

__all__ = [
    "LI",
    "LIF",
    "AdaptiveLIF",
    "ByColumn",
    "ByRatio",
    "Cochlea",
    "CrossEntropyOverTime",
    "CubaLIF",
    "Delay",
    "DelayLine",
    "Delays",
    "DeltaMSE",
    "EaseIn",
    "Esser",
    "EventProp",
    "EventRules",
    "FirstSpikeCrossEntropy",
    "FitConfig",
    "InputWeighted",
    "IntegralCrossEntropy",
    "LabelledSpikes",
    "LowerActivity",
    "MaxOverTimeCrossEntropy",
    "MeanOverTimeCrossEntropy",
    "Network",
    "Neuron",
    "Plateau",
    "Readout",
    "SigmoidDerivative",
    "SpikeFile",
    "Spikes",
    "Spiking",
    "Splits",
    "SuperSpike",
    "Support",
    "Surrogate",
    "TargetActivity",
    "UpperActivity",
    "WakeAfterEpoch",
    "WakeSilent",
    "check_gradients",
    "collate",
    "fit",
    "init",
    "leave_one_out",
    "load_fashion_mnist",
    "load_fsdd",
    "load_mnist",
    "load_shd",
    "load_spikes",
    "load_ssc",
    "load_yinyang",
    "merge",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"ranvier.{_HOME[name]}"), name)
    raise AttributeError(f"module 'ranvier' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
