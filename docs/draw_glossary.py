"""Writes the glossary of docs/handbook.md from the table that explains words on pages.

python docs/draw_glossary.py
"""

from pathlib import Path

from fusionjax.report.glossary import TERMS

PAGE = Path(__file__).parent / "handbook.md"
BEGIN = "<!-- written by docs/draw_glossary.py -->\n"


def page() -> str:
    """The whole of docs/handbook.md."""
    rows = [
        f"| {word} | {meaning.replace('|', chr(92) + '|')} |" for word, meaning in TERMS.items()
    ]
    before, _ = PAGE.read_text().split(BEGIN)
    return before + BEGIN + "\n".join(["| word | here |", "|---|---|", *rows, ""])


if __name__ == "__main__":
    PAGE.write_text(page())
