import gzip

import numpy as np
import pytest
import torch

from ranvier.data import read_idx
from ranvier.errors import DataError
from tests.data.tiny_mnist import idx_bytes

IMAGES = np.arange(24).reshape(2, 3, 4)
WHOLE = idx_bytes(IMAGES)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_reads_what_was_written(tmp_path, suffix):
    path = tmp_path / f"images{suffix}"
    path.write_bytes(gzip.compress(WHOLE) if suffix else WHOLE)
    images = read_idx(path, 3)
    assert images.dtype == torch.uint8
    assert images.tolist() == IMAGES.tolist()
    images[0, 0, 0] = 7  # its own memory, writable


def test_reads_files_longer_than_one_piece(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (3, 1000, 1000))
    path = tmp_path / "big"
    path.write_bytes(idx_bytes(values))
    assert np.array_equal(read_idx(path, 3).numpy(), values)


@pytest.mark.parametrize(
    ("content", "n_axes", "message"),
    [
        pytest.param(b"", 3, "must begin with 00000803 .* Got an empty file.", id="empty"),
        pytest.param(b"\x89PNG" + WHOLE, 3, "must begin with 00000803 .* Got 89504e47.", id="another format"),
        pytest.param(WHOLE, 1, "must begin with 00000801 .* Got 00000803.", id="images for labels"),
        pytest.param(b"\0\0\x0d" + WHOLE[3:], 3, "must begin with 00000803 .* Got 00000d03.", id="floats"),
        pytest.param(gzip.compress(WHOLE), 3, "must begin with 00000803 .* Got 1f8b", id="gzip without its name"),
        pytest.param(WHOLE[:9], 3, "an IDX header of 16 bytes. Got 9.", id="half a header"),
        pytest.param(WHOLE[:-1], 3, r"must hold 24 values after its header of \(2, 3, 4\). Got 23.", id="too short"),
        pytest.param(
            WHOLE + b"\0", 3, r"must hold 24 values after its header of \(2, 3, 4\). Got more.", id="too long"
        ),
        pytest.param(idx_bytes(np.zeros((0, 2, 2))), 3, r"one entry along each axis. Got \(0, 2, 2\).", id="no image"),
        pytest.param(WHOLE[:4] + b"\xff" * 12 + WHOLE[16:], 3, "Got 24.", id="absurd header"),
    ],
)
def test_damage_is_named(tmp_path, content, n_axes, message):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path, n_axes)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


PACKED = gzip.compress(WHOLE, mtime=0)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(WHOLE, id="not gzip"),
        pytest.param(PACKED[:-12], id="truncated"),
        pytest.param(PACKED[:-4], id="truncated checksum"),
        pytest.param(PACKED[:5], id="half a header"),
        pytest.param(PACKED[:-8] + b"\0" * 4 + PACKED[-4:], id="wrong checksum"),
        pytest.param(PACKED[:10] + b"\xff" + PACKED[11:], id="wrong stream"),
    ],
)
def test_damaged_gzip_is_named(tmp_path, content):
    path = tmp_path / "file.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"must be a whole gzip file, as its name says. Got: ") as caught:
        read_idx(path, 3)
    assert str(caught.value).startswith(str(path))


def test_files_out_of_reach_are_named(tmp_path):
    with pytest.raises(DataError, match=r"absent.gz must be a readable file. Got: No such file or directory."):
        read_idx(tmp_path / "absent.gz", 3)
    with pytest.raises(DataError, match=r"must be a readable file. Got: Is a directory."):
        read_idx(tmp_path, 3)
