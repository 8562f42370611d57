import gzip
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ranvier.data import load_fashion_mnist, load_mnist, pixel_latency
from ranvier.errors import DataError
from tests.data.tiny_mnist import NAMES, tiny_arrays

REAL_MNIST = Path(__file__).parents[2].parent / "shared" / "data" / "mnist"
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
UNPACKED_MD5 = {
    "mnist": {
        "train_images": "6bbc9ace898e44ae57da46a324031adb",
        "train_labels": "a25bea736e30d166cdddb491f175f624",
        "test_images": "2646ac647ad5339dbf082846283269ea",
        "test_labels": "27ae3e4e09519cfbb04c329615203637",
    },
    "fashion-mnist": {
        "train_images": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train_labels": "9018921c3c673c538a1fc5bad174d6f9",
        "test_images": "8181f5470baa50b63fa0f6fddb340f0a",
        "test_labels": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}


@pytest.mark.parametrize("load", [load_mnist, load_fashion_mnist])
def test_the_first_training_images_validate(load, write_mnist):
    arrays = {name: torch.tensor(values) for name, values in tiny_arrays().items()}
    splits = load(write_mnist(), t_max=10e-3, duration=15e-3, n_validation=3)
    images, labels = arrays["train_images"].to(torch.uint8), arrays["train_labels"]
    expected = {
        "validation": (images[:3], labels[:3]),
        "train": (images[3:], labels[3:]),
        "test": (arrays["test_images"].to(torch.uint8), arrays["test_labels"]),
    }
    for name, (some_images, some_labels) in expected.items():
        split, inputs = getattr(splits, name), pixel_latency(some_images, 10e-3, duration=15e-3)
        assert split.labels.tolist() == some_labels.tolist()
        assert split.n_classes == 10
        assert torch.equal(split.inputs.times, inputs.times)
        assert torch.equal(split.inputs.units, inputs.units)
        assert torch.equal(split.inputs.offsets, inputs.offsets)
        assert (split.inputs.unit_shape, split.inputs.duration) == ((4, 3), 15e-3)


def test_no_validation_set_can_be_asked_for(write_mnist):
    assert [len(split) for split in load_mnist(write_mnist(), n_validation=0)] == [12, 0, 5]


def test_unpacked_files_are_as_good(write_mnist):
    folder = write_mnist()
    packed = load_mnist(folder, n_validation=2)
    for name in list(NAMES.values())[:3]:
        (folder / name.removesuffix(".gz")).write_bytes(gzip.decompress((folder / name).read_bytes()))
        (folder / name).unlink()
    unpacked = load_mnist(str(folder), n_validation=2)
    assert torch.equal(packed.train.inputs.times, unpacked.train.inputs.times)
    assert torch.equal(packed.test.labels, unpacked.test.labels)


def test_the_packed_file_is_taken_when_both_are_there(write_mnist):
    folder = write_mnist()
    (folder / NAMES["test_labels"].removesuffix(".gz")).write_bytes(b"not read")
    assert len(load_mnist(folder, n_validation=2).test) == 5


def test_missing_files_are_named_and_never_fetched(write_mnist, monkeypatch):
    monkeypatch.setattr("ranvier.data.mnist.download", lambda *args: pytest.fail("fetched"))
    folder = write_mnist()
    for key in ("train_labels", "test_images"):
        (folder / NAMES[key]).unlink()
    missing = f"Got {folder} without train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz."
    with pytest.raises(DataError, match=r"`data_dir` \(--data-dir\) must be a folder with") as caught:
        load_mnist(folder)
    assert str(caught.value).endswith(missing)
    assert len(list(folder.iterdir())) == 2
    with pytest.raises(DataError, match=r"without train-images-idx3-ubyte.gz, train-labels"):
        load_mnist(folder / "nowhere")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        pytest.param(
            {"train_labels": np.arange(11) % 10},
            "train-labels.* must hold one label per image of train-images-idx3-ubyte.gz, 12. Got 11.",
            id="fewer labels",
        ),
        pytest.param(
            {"test_labels": np.array([1, 2, 3, 4, 10])},
            "t10k-labels-idx1-ubyte.gz must hold labels in 0 to 9. Got 10.",
            id="label range",
        ),
        pytest.param({"train_images": np.zeros(12)}, "must begin with 00000803 .* Got 00000801.", id="wrong axes"),
        pytest.param(
            {"test_images": np.zeros((5, 3, 4))},
            r"must hold images of \(4, 3\) pixels, as for training. Got \(3, 4\).",
            id="another size",
        ),
    ],
)
def test_files_that_do_not_fit_are_named(write_mnist, changed, message):
    with pytest.raises(DataError, match=message):
        load_mnist(write_mnist(**changed), n_validation=2)


@pytest.mark.usefixtures("as_users_run_it")
def test_wrong_arguments_are_named(write_mnist):
    folder = write_mnist()
    with pytest.raises(ValueError, match=r"`n_validation` must be >= 0. Got -1."):
        load_mnist(folder, n_validation=-1)
    with pytest.raises(ValueError, match=r"`n_validation` must leave some of the 12 training images. Got 12."):
        load_mnist(folder, n_validation=12)
    with pytest.raises(ValueError, match=r"`base_url` must be None when `data_dir` is given.* Got 'http://x'."):
        load_mnist(folder, base_url="http://x")
    with pytest.raises(ValueError, match=r"`t_max` of pixel_latency"):
        load_mnist(folder, t_max=1.0, n_validation=2)


def test_importing_and_reading_own_files_needs_no_downloader(write_mnist):
    code = f"import sys; from ranvier.data import load_mnist; load_mnist({str(write_mnist())!r}, n_validation=2)"
    code += "; assert not {'pooch', 'requests'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def assert_canonical(folder: Path, checksums: dict[str, str]) -> None:
    for key, md5 in checksums.items():
        assert hashlib.md5(gzip.decompress((folder / NAMES[key]).read_bytes())).hexdigest() == md5


def assert_published(splits) -> None:
    assert [len(split) for split in splits] == [55_000, 5_000, 10_000]
    for split in splits:
        assert split.inputs.unit_shape == (28, 28)
        assert split.n_classes == 10
        assert float(split.inputs.times.max()) < 20e-3


@pytest.mark.skipif(not REAL_MNIST.is_dir(), reason="needs MNIST in ../shared/data/mnist")
def test_real_mnist():
    assert_canonical(REAL_MNIST, UNPACKED_MD5["mnist"])
    splits = load_mnist(REAL_MNIST)
    assert_published(splits)
    assert splits.validation.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert splits.test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    images = np.frombuffer(gzip.decompress((REAL_MNIST / NAMES["train_images"]).read_bytes()), np.uint8, offset=16)
    pixels = images.reshape(60_000, 784)
    bright = (pixels > 1).sum(1)
    assert splits.train.inputs.offsets.diff().tolist() == bright[5000:].tolist()
    assert splits.validation.inputs.offsets.diff().tolist() == bright[:5000].tolist()
    first = splits.train.inputs[0]
    expected = (1 - pixels[5000, first.units.numpy()] / 255) * 20e-3
    assert np.array_equal(first.times.numpy(), expected.astype(np.float32))


@pytest.mark.slow
@pytest.mark.skipif(not DEBIAN_FASHION_MNIST.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_real_fashion_mnist():
    assert_canonical(DEBIAN_FASHION_MNIST, UNPACKED_MD5["fashion-mnist"])
    splits = load_fashion_mnist(DEBIAN_FASHION_MNIST)
    assert_published(splits)
    labels = torch.cat([splits.validation.labels, splits.train.labels])
    assert labels.bincount().tolist() == [6000] * 10
    assert splits.test.labels.bincount().tolist() == [1000] * 10
