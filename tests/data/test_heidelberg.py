import gzip
import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ranvier.data import load_shd, load_ssc
from ranvier.data.download import download_unpacked
from ranvier.errors import DataError
from tests.data.spike_files import random_samples, write_spikes

SHD, SSC = ("shd_train.h5", "shd_test.h5"), ("ssc_train.h5", "ssc_valid.h5", "ssc_test.h5")
NAMES = [f"word{number}" for number in range(20)]


@pytest.fixture
def own(tmp_path) -> Path:
    """A folder with all five files; in SHD's, speakers 10 and 3 are in the training file, 10 and 4 in the test file."""
    folder = tmp_path / "own"
    folder.mkdir()
    extra = {"keys": NAMES, "speaker": [3, 10, 3, 10, 3, 9]}
    write_spikes(folder / SHD[0], random_samples(6, 700, seed=2), [0, 19, 0, 3, 4, 5], extra=extra)
    extra = {"keys": NAMES, "speaker": [10, 4, 4, 4]}
    write_spikes(folder / SHD[1], random_samples(4, 700, seed=3), [1, 1, 2, 2], extra=extra)
    for number, name in enumerate(SSC):
        write_spikes(folder / name, random_samples(3 + number, 700, seed=number), [34] * (3 + number))
    return folder


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        self.server.asked.append(self.path)

    def do_GET(self) -> None:
        if self.path != self.server.cut:
            return super().do_GET()
        content = (Path(self.directory) / self.path[1:]).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])
        self.close_connection = True
        return None


@pytest.fixture
def remote(own, tmp_path) -> Path:
    """What the site has: compressed files, and their checksums as `md5sum` writes them."""
    folder = tmp_path / "remote"
    folder.mkdir()
    lines = []
    for name in (*SHD, *SSC):
        packed = gzip.compress((own / name).read_bytes(), mtime=0)
        (folder / f"{name}.gz").write_bytes(packed)
        lines.append(f"{hashlib.md5(packed).hexdigest()}  {name}.gz\n")
    (folder / "md5sums.txt").write_text("".join(lines))
    return folder


@pytest.fixture
def server(remote) -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(remote))) as server:
        server.asked, server.cut = [], None
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def url(server) -> str:
    return f"http://127.0.0.1:{server.server_port}/"


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "cache" / project)
    return tmp_path / "cache" / "ranvier"


def test_whole_speakers_of_the_training_file_validate(own):
    splits = load_shd(own)
    assert [len(part) for part in splits] == [4, 2, 4]
    assert splits.validation.column("speaker").tolist() == [10, 10]  # the highest number, not the last in the alphabet
    assert sorted(set(splits.train.column("speaker").tolist())) == [3, 9]
    assert splits.test.labels.tolist() == [1, 1, 2, 2]
    assert splits.test.held_out
    assert splits.train.n_classes == 20
    assert splits.train.label_names == tuple(NAMES)
    batch = splits.train[:].inputs
    assert (batch.unit_shape, batch.duration) == ((700,), 1.4)
    assert batch.n_events > 20


def test_other_speakers_or_none_can_validate(own):
    splits = load_shd(own, validation_speakers=[9, 3], duration=1.0)
    assert [len(part) for part in splits] == [2, 4, 4]
    assert splits.train[0].inputs.duration == 1.0
    assert [len(part) for part in load_shd(own, validation_speakers=())] == [6, 0, 4]
    with pytest.raises(DataError, match=r"shd_train.h5 must have samples whose speaker is 4. Got only 3, 9, 10."):
        load_shd(own, validation_speakers=[4])


def test_speech_commands_have_a_validation_file(own):
    splits = load_ssc(own)
    assert [len(part) for part in splits] == [3, 4, 5]
    assert [part.file.path.name for part in splits] == list(SSC)
    assert [part.held_out for part in splits] == [False, False, True]
    assert {part.n_classes for part in splits} == {35}


def test_a_label_beyond_the_classes_is_refused(own):
    write_spikes(own / SHD[1], random_samples(2, 700), [0, 20])
    with pytest.raises(DataError, match=r"shd_test.h5 must have labels in 0 to 19. Got 20."):
        load_shd(own)


def test_missing_files_are_named_and_never_fetched(own, remote, monkeypatch):
    monkeypatch.setattr("ranvier.data.heidelberg.download_unpacked", lambda *args: pytest.fail("fetched"))
    (own / SHD[1]).unlink()
    with pytest.raises(DataError, match=r"a folder with shd_train.h5, shd_test.h5. Got .*own without shd_test.h5.$"):
        load_shd(own)
    with pytest.raises(DataError, match=r"without shd_train.h5, shd_test.h5, of which some are still compressed"):
        load_shd(remote)
    with pytest.raises(ValueError, match=r"`base_url` must be None when `data_dir` is given: .* Got 'http://x'."):
        load_shd(own, base_url="http://x")


@pytest.mark.parametrize(("load", "names"), [(load_shd, SHD), (load_ssc, SSC)])
def test_absent_files_are_fetched_and_unpacked_once(load, names, own, url, server, cache, capfd):
    splits = load(base_url=url)
    folder = cache / names[0][:3]
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    assert [(folder / name).read_bytes() for name in names] == [(own / name).read_bytes() for name in names]
    assert server.asked == ["/md5sums.txt", *(f"/{name}.gz" for name in names)]
    assert [part.labels.tolist() for part in splits] == [part.labels.tolist() for part in load(own)]
    load(base_url=url)
    assert len(server.asked) == 1 + len(names)  # what is there needs no network
    (folder / names[-1]).unlink()
    load(base_url=url)
    assert server.asked[1 + len(names) :] == ["/md5sums.txt", f"/{names[-1]}.gz"]
    assert capfd.readouterr().out == ""


def _nothing_left(cache: Path, name: str) -> bool:
    return not any(path.name == name for path in cache.rglob("*"))


def test_a_wrong_checksum_is_refused_and_nothing_is_kept(url, remote, cache):
    (remote / "shd_train.h5.gz").write_bytes(gzip.compress(b"other bytes"))
    with pytest.raises(DataError, match=r"shd_train.h5.gz must have the published MD5 .* Got a file that differs."):
        load_shd(base_url=url)
    assert _nothing_left(cache, SHD[0])
    assert _nothing_left(cache, f"{SHD[0]}.gz")


def test_a_transfer_that_breaks_off_is_refused_and_nothing_is_kept(url, server, cache):
    server.cut = "/shd_train.h5.gz"
    with pytest.raises(DataError) as caught:
        load_shd(base_url=url)
    assert str(caught.value).startswith(f"{url}shd_train.h5.gz must be within reach, because {cache / 'shd'} lacks")
    assert _nothing_left(cache, SHD[0])
    server.cut = None
    assert len(load_shd(base_url=url).test) == 4


def test_a_published_file_that_is_no_gzip_is_refused(url, remote, cache):
    for content in (b"not gzip", gzip.compress(b"x" * 10000)[:-9]):
        (remote / "shd_train.h5.gz").write_bytes(content)
        (remote / "md5sums.txt").write_text(f"{hashlib.md5(content).hexdigest()} *shd_train.h5.gz\n")
        with pytest.raises(DataError, match=r"shd_train.h5.gz must be a whole gzip file, as its name says. Got: "):
            load_shd(base_url=url)
        assert _nothing_left(cache, SHD[0])


def test_a_file_without_checksum_is_not_fetched(url, remote, server, cache):
    (remote / "md5sums.txt").write_text("<html>\nnothing here\n")
    with pytest.raises(DataError, match=rf"{url}md5sums.txt must list shd_train.h5.gz. Got no such line."):
        load_shd(base_url=url)
    assert server.asked == ["/md5sums.txt"]


def test_no_checksums_or_no_site_is_one_sentence(url, remote, server, cache):
    (remote / "md5sums.txt").unlink()
    with pytest.raises(DataError) as caught:
        load_shd(base_url=url)
    assert str(caught.value) == (
        f"{url}md5sums.txt must be within reach, because {cache / 'shd'} lacks shd_train.h5, shd_test.h5; a folder "
        f"that holds the files can be given as `data_dir` (--data-dir). Got HTTP status 404."
    )
    server.shutdown()
    server.server_close()
    with pytest.raises(DataError, match=r"`data_dir` \(--data-dir\). Got ConnectionError."):
        load_shd(base_url=url)


def test_the_address_must_be_one(tmp_path):
    with pytest.raises(ValueError, match=r"`base_url` must start with http:// or https://. Got 'ftp://host'."):
        download_unpacked(SHD, "ftp://host", tmp_path)
