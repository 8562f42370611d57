"""The page is what the measurements say, and what has not been measured is left alone."""

import json

import pytest

from benchmarks import page
from tests.benchmarks import results

PAGE = "# One\n\nSome words.\n\n<!-- W1 -->\nold\n<!-- end -->\n\n<!-- W2 -->\nas it was\n<!-- end -->\n"


def test_blocks_are_filled_and_words_kept():
    filled = page.filled(PAGE, {"run": results.run()})
    assert filled.startswith("# One\n\nSome words.\n")
    assert "| PyTorch loop | 22.00 | 44.00 | 88.0 | 0.5 | 400 | 3.0 | 4.0 | 3.00 % | 2.5000, 2.2500 | 11.0 |" in filled
    assert "old" not in filled
    assert "as it was" in filled
    assert page.filled(filled, {"run": results.run()}) == filled


def test_aims_and_sources_are_told():
    filled = page.filled("<!-- aims -->\n<!-- end -->\n<!-- measured -->\n<!-- end -->\n", {"run": results.run()})
    assert "| W1 | EventProp | PyTorch loop | 11.0 | 10 | met |" in filled
    assert "`python -m benchmarks run` | 8 | 2026-01-01 | a machine |" in filled
    assert "| 5.5 | 10 | missed |" in page.filled(filled, {"run": results.run(8.0)})


def test_a_block_that_nothing_fills_is_an_error():
    with pytest.raises(SystemExit, match=r"must be of W1, .* Got W9\."):
        page.filled("<!-- W9 -->\n<!-- end -->\n", {})


def test_nothing_is_measured_twice():
    with pytest.raises(SystemExit, match=r"in one file\. Got W1 again in second\.json\."):
        page.filled(PAGE, {"first": results.run(), "second": results.run()})


def test_a_page_that_is_not_up_to_date_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "DOCS", tmp_path)
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "run.json").write_text(json.dumps(results.run()))
    (tmp_path / "benchmarks.md").write_text(PAGE)
    with pytest.raises(SystemExit, match="is not what"):
        page.page(check=True)
    (tmp_path / "benchmarks.md").write_text(page.filled(PAGE, {"run": results.run()}))
    page.page(check=True)


def test_the_page_of_the_repository_is_up_to_date():
    page.page(check=True)
