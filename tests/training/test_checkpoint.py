import random
from pathlib import Path

import pytest
import torch

from ranvier.errors import RunError
from ranvier.training import checkpoint

CONTENT = {
    "epoch": 3,
    "network": {"w": torch.randn(20, 20)},
    "metrics": {"rates": {"hidden": 1.5}},
    "name": "x",
}


def same(loaded: dict) -> bool:
    rest = {name: value for name, value in loaded.items() if name not in ("network", "format")}
    expected = {name: value for name, value in CONTENT.items() if name != "network"}
    return rest == expected and torch.equal(loaded["network"]["w"], CONTENT["network"]["w"])


def test_round_trip_and_rotation(tmp_path: Path) -> None:
    checkpoint.save_last(tmp_path, CONTENT | {"epoch": 2})
    checkpoint.save_last(tmp_path, CONTENT)
    loaded = checkpoint.load_last(tmp_path)
    assert loaded is not None
    assert same(loaded.content)
    assert loaded.note is None
    assert checkpoint.load(tmp_path / "previous.pt")["epoch"] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "previous.pt"]


def test_no_checkpoint_is_no_error(tmp_path: Path) -> None:
    assert checkpoint.load_last(tmp_path) is None


def test_a_missing_last_falls_back_quietly(tmp_path: Path) -> None:
    checkpoint.save_last(tmp_path, CONTENT)
    (tmp_path / "last.pt").rename(tmp_path / "previous.pt")
    loaded = checkpoint.load_last(tmp_path)
    assert loaded is not None
    assert loaded.is_previous
    assert loaded.note is None


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    checkpoint.save_last(tmp_path, CONTENT)
    whole = path.read_bytes()
    for length in [0, 1, 100, *range(200, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(RunError, match="must be a whole checkpoint"):
            checkpoint.load(path)


def test_a_flipped_bit_is_noticed_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    checkpoint.save_last(tmp_path, CONTENT)
    whole = path.read_bytes()
    chance, noticed = random.Random(0), 0
    for _ in range(400):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        try:
            loaded = checkpoint.load(path)
        except RunError:
            noticed += 1
        else:
            assert same(loaded)
    assert noticed > 100


def test_a_flipped_bit_in_the_weights_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    checkpoint.save_last(tmp_path, CONTENT)
    whole = bytearray(path.read_bytes())
    whole[bytes(whole).index(CONTENT["network"]["w"].numpy().tobytes()) + 77] ^= 1
    path.write_bytes(whole)
    with pytest.raises(RunError, match="Got a damaged file"):
        checkpoint.load(path)


@pytest.mark.parametrize("content", [{"format": 99}, [1, 2]], ids=["newer", "list"])
def test_another_torch_file_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(RunError, match="Got another file"):
        checkpoint.load(tmp_path / "last.pt")


def test_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="must be a readable checkpoint"):
        checkpoint.load(tmp_path)
