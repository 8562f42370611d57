"""The runs of `benchmarks.speech` are those of `ranvier train`."""

from benchmarks import speech
from ranvier.studies import documented


def test_a_spiking_run_is_trained_and_tested(tmp_path):
    config = documented("yinyang", "eventprop", engine="grid", dt=1e-3, epochs=1, threads=1)
    found = speech.spiking(config, tmp_path / "run")
    assert found["epochs"] == 1
    assert 0 < found["test_accuracy"] < 1
    assert (tmp_path / "run" / "last.pt").exists()
