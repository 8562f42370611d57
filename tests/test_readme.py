"""The README's example runs as printed, and its commands are what the tests of a fresh machine run."""

import contextlib
import io
import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_example_runs_as_printed_and_learns() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(example.strip().splitlines()) <= 16
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(example, "README.md", "exec"), {})
    accuracy, activity = (float(number) for number in re.findall(r"tensor\(([\d.]+)\)", printed.getvalue()))
    assert accuracy > 0.85
    assert activity > 0.05


def test_two_commands_do_everything() -> None:
    commands = re.findall(r"```bash\n(.*?)```", README.read_text(), re.DOTALL)
    assert [command.strip() for command in commands] == [
        "pip install . && ranvier train yinyang",
        'pip install ".[dev]" && pytest -n auto',
    ]
