"""Four IDX files like MNIST's, of a few bytes."""

import numpy as np

NAMES = {
    "train_images": "train-images-idx3-ubyte.gz",
    "train_labels": "train-labels-idx1-ubyte.gz",
    "test_images": "t10k-images-idx3-ubyte.gz",
    "test_labels": "t10k-labels-idx1-ubyte.gz",
}


def idx_bytes(values: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    return header + values.astype(np.uint8).tobytes()


def tiny_arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "train_images": random.integers(0, 256, (12, 4, 3)),
        "train_labels": np.arange(12) % 10,
        "test_images": random.integers(0, 256, (5, 4, 3)),
        "test_labels": np.array([9, 0, 3, 3, 1]),
    }
