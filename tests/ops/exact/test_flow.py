"""The closed-form flow of the kernels against fifty digits."""

from importlib.resources import files
from typing import Any

import mpmath
import numba
import numpy as np
import pytest


@pytest.fixture(scope="module")
def compiled() -> dict[str, Any]:
    """The functions of the shared template, compiled as kernels have them."""
    text = files("ranvier.ops").joinpath("flow.py.jinja").read_text()
    text = text[text.index("-#}") + 3 :].replace("cache=True, ", "")
    scope: dict[str, Any] = {"numba": numba, "np": np, "math": __import__("math")}
    exec(compile(text, "flow", "exec"), scope)  # the template has no blanks to fill
    return scope


def apart(found: float, truth: Any) -> float:
    return float(abs(mpmath.mpf(found) - truth) / abs(truth))


def test_the_exponential(compiled: dict[str, Any]) -> None:
    generator = np.random.default_rng(0)
    draws = -np.concatenate([10 ** generator.uniform(-12, 2.8, 400), [0.5, 1.0, 700.0]])
    for x in draws:
        value, less = compiled["exponential"](x)
        with mpmath.workdps(50):
            assert apart(value, mpmath.exp(mpmath.mpf(x))) < 5e-16, x
            assert apart(less, mpmath.expm1(mpmath.mpf(x))) < 5e-16, x
    assert compiled["exponential"](0.0) == (1.0, 0.0)
    assert compiled["exponential"](-np.inf)[1] == -1.0


@pytest.mark.parametrize("ratio", [1.0, 1 + 1e-12, 1 + 1e-6, 0.7, 2.0, 40.0])
def test_the_flow_for_all_time_constants(compiled: dict[str, Any], ratio: float) -> None:
    generator = np.random.default_rng(1)
    for d in 10 ** generator.uniform(-9, 0.3, 60):
        tau_syn = 10 ** generator.uniform(-3, -1)
        tau_mem = tau_syn * ratio
        with mpmath.workdps(50):
            length, mem, syn = mpmath.mpf(d), mpmath.mpf(tau_mem), mpmath.mpf(tau_syn)
            e_mem, e_syn = mpmath.exp(-length / mem), mpmath.exp(-length / syn)
            k = length / mem * e_syn if mem == syn else syn / (mem - syn) * (e_mem - e_syn)
            allowed = 1e-15 * (1 + d / min(tau_mem, tau_syn))
            if d < 600 * min(tau_mem, tau_syn):
                for found, truth in zip(compiled["flow"](d, tau_mem, tau_syn), (e_mem, e_syn, k), strict=True):
                    assert apart(found, truth) < allowed, (d, tau_mem, tau_syn)
