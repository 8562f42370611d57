"""Mistakes on the command line get one sentence."""

import pytest
from benchmarks.__main__ import main


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("run --work W9", "--work must be of W1, W2, W3, W4, W4-free. Got W9."),
        ("run --rounds 0", "--rounds must be >= 1. Got 0."),
        ("run --work W1 --only Norse", "--only must leave one of our ways in W1"),
        ("run --json nowhere/run.json", "--json must lie in a folder that exists. Got nowhere/run.json."),
        ("sweep", "--over"),
    ],
)
def test_it_is_told(arguments, sentence, capsys):
    with pytest.raises(SystemExit):
        main(arguments.split())
    assert sentence in capsys.readouterr().err
