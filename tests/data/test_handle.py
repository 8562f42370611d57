import os
import pickle
from functools import partial

from ranvier.data.handle import Handle


def read_all(handle):
    with handle.use() as file:
        file.seek(0)
        return file.read()


def test_opens_on_first_use_once_and_again_after_closing(tmp_path):
    path, opened = tmp_path / "some", []
    path.write_text("words")

    def opener():
        opened.append(path)
        return path.open()

    handle = Handle(opener)
    assert opened == []
    assert [read_all(handle), read_all(handle)] == ["words", "words"]
    assert len(opened) == 1
    handle.close()
    handle.close()
    assert read_all(handle) == "words"
    assert len(opened) == 2
    handle.close()


def test_a_fork_shares_no_open_file(tmp_path):
    path = tmp_path / "some"
    path.write_text("words")
    handle = Handle(partial(open, path))
    with handle.use() as before:
        pass
    pid = os.fork()
    if pid == 0:  # the child must see a closed file, and be able to open its own
        os._exit(0 if before.closed and read_all(handle) == "words" else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert before.closed
    assert read_all(handle) == "words"
    handle.close()


def test_pickling_leaves_the_open_file_behind(tmp_path):
    path = tmp_path / "some"
    path.write_text("words")
    handle = Handle(partial(open, path))
    assert read_all(handle) == "words"
    copied = pickle.loads(pickle.dumps(handle))
    assert read_all(copied) == "words"
    handle.close()
    copied.close()
