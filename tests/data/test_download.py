import gzip
import hashlib
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ranvier.data import load_fashion_mnist, load_mnist, mnist
from ranvier.data.download import download
from ranvier.errors import DataError
from tests.data.tiny_mnist import NAMES, idx_bytes, tiny_arrays


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        self.server.asked.append(self.path)


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    folder = tmp_path / "remote"
    folder.mkdir()
    for key, values in tiny_arrays().items():
        (folder / NAMES[key]).write_bytes(gzip.compress(idx_bytes(values), mtime=0))
    return folder


@pytest.fixture
def server(remote: Path) -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(remote))) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def go_offline(server: ThreadingHTTPServer) -> None:
    server.shutdown()
    server.server_close()


@pytest.fixture
def url(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}/"


@pytest.fixture
def checksums(remote: Path) -> dict[str, str]:
    return {name: hashlib.md5((remote / name).read_bytes()).hexdigest() for name in NAMES.values()}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "cache" / project)
    return tmp_path / "cache" / "ranvier"


@pytest.fixture
def published(checksums: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tiny files be what was published."""
    for name in ("MNIST", "FASHION_MNIST"):
        source = getattr(mnist, name)
        monkeypatch.setattr(mnist, name, mnist.Source(source.folder, source.base_url, checksums))


LOADERS = [
    pytest.param(load_mnist, "mnist", id="mnist"),
    pytest.param(load_fashion_mnist, "fashion-mnist", id="fashion"),
]


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(("load", "folder"), LOADERS)
def test_absent_files_are_fetched_once(load: Callable, folder: str, url, server, cache, capfd):
    splits = load(base_url=url, n_validation=2)
    assert [len(split) for split in splits] == [10, 2, 5]
    assert sorted(path.name for path in (cache / folder).iterdir()) == sorted(NAMES.values())
    assert sorted(server.asked) == sorted(f"/{name}" for name in NAMES.values())
    load(base_url=url, n_validation=2)
    assert len(server.asked) == 4
    assert capfd.readouterr().out == ""


@pytest.mark.usefixtures("published")
def test_a_damaged_file_in_the_cache_is_fetched_again(url, server, cache):
    load_mnist(base_url=url, n_validation=2)
    damaged = cache / "mnist" / NAMES["test_labels"]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert len(load_mnist(base_url=url, n_validation=2).test) == 5
    assert server.asked[4:] == [f"/{NAMES['test_labels']}"]


@pytest.mark.usefixtures("published")
def test_a_corrupt_file_is_refused_and_not_kept(url, remote, cache):
    (remote / NAMES["train_labels"]).write_bytes(b"something else")
    with pytest.raises(DataError, match=r"train-labels.*must have the published MD5 .*\(--data-dir\). Got a file that"):
        load_mnist(base_url=url, n_validation=2)
    assert [path.name for path in (cache / "mnist").iterdir()] == [NAMES["train_images"]]


@pytest.mark.usefixtures("published")
def test_an_absent_address_names_the_missing_files(url, remote, cache):
    (remote / NAMES["test_images"]).unlink()
    with pytest.raises(DataError) as caught:
        load_mnist(base_url=url, n_validation=2)
    message = str(caught.value)
    assert message.startswith(f"{url}{NAMES['test_images']} must be within reach")
    assert f"{cache / 'mnist'} lacks {NAMES['test_images']}, {NAMES['test_labels']};" in message
    assert message.endswith("`data_dir` (--data-dir). Got HTTP status 404.")
    assert "\n" not in message


def test_offline_is_one_sentence(tmp_path, server, checksums):
    url = f"http://127.0.0.1:{server.server_port}"
    go_offline(server)
    with pytest.raises(DataError) as caught:
        download(checksums, url, tmp_path / "cache")
    message = str(caught.value)
    assert f"{tmp_path / 'cache'} lacks {', '.join(NAMES.values())};" in message
    assert message.endswith("`data_dir` (--data-dir). Got ConnectionError.")


def test_without_network_a_full_cache_is_enough(url, server, checksums, tmp_path):
    download(checksums, url, tmp_path / "cache")
    go_offline(server)
    download(checksums, url, tmp_path / "cache")
    assert len(server.asked) == 4


def test_an_unwritable_folder_is_named(url, checksums, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(DataError, match=r"cache lacks train-images"):
        download(checksums, url, tmp_path / "cache")


def test_the_address_must_be_one(tmp_path, checksums):
    with pytest.raises(ValueError, match=r"`base_url` must start with http:// or https://. Got 'ftp://host'."):
        download(checksums, "ftp://host", tmp_path)


def test_the_published_sources_are_complete():
    for source in (mnist.MNIST, mnist.FASHION_MNIST):
        assert set(source.checksums) == set(NAMES.values())
        assert all(len(bytes.fromhex(md5)) == 16 for md5 in source.checksums.values())
        assert source.base_url.startswith("http")
