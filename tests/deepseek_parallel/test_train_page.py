"""The script of the how-to page moves to `Trainer` by ten lines, and the diff says which."""

import difflib
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "sdk_docs" / "howto" / "train_a_model.md"


def block(title):
    return re.search(rf'```python title="{title}"\n(.*?)```', PAGE.read_text(), re.S)[1]


def test_ten_lines_of_the_script_change_and_the_page_shows_them():
    plain, moved = block("plain.py"), block("train.py")
    assert 38 <= len(plain.splitlines()) <= 42
    found = list(
        difflib.unified_diff(
            plain.splitlines(), moved.splitlines(), "plain.py", "train.py", lineterm="", n=2
        )
    )
    shown = re.search(r"```diff\n(.*?)```", PAGE.read_text(), re.S)[1]
    assert shown.splitlines() == found
    changed = [line for line in found[2:] if line[0] in "+-"]
    assert len(changed) <= 10
