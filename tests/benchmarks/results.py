"""Measurements that nobody made: files of results as small as they can be."""

OURS, LOOP = "Ranvier, EventProp", "PyTorch loop"


def way(ms, ratios, density=0.03, counted=4.0, needs=()):
    return {
        "min_ms": ms / 2,
        "median_ms": ms,
        "processor_ms": 2 * ms,
        "first_seconds": 0.5,
        "peak_mb": 400.0,
        "rise_mb": 3.0,
        "counted_mb": counted,
        "density": density,
        "gain": 1.0,
        "needs": list(needs),
        "losses": [2.5, 2.25],
        "ratios": ratios,
    }


def ways(ours, others):
    """Two of them, that take so many ms."""
    both = {OURS: ours, LOOP: others}
    return {name: way(ms, {other: both[other] / ms for other in both}) for name, ms in both.items()}


def header():
    return {"machine": "a machine", "command": "python -m benchmarks run", "date": "2026-01-01", "rounds": 8}


def run(ours=4.0, others=44.0):
    return header() | {"works": {"W1": {"kind": "grid", "ways": ways(ours, others)}}}


def sweep(ours, others, at=(0.01, 0.1, 0.3), over="density"):
    points = [
        {"at": value, "gains": [1.0], "spikes": 1e6 * value, "ways": ways(*ms)}
        for value, *ms in zip(at, ours, others, strict=True)
    ]
    return header() | {"over": over, "label": f"hidden {over}", "points": points}
