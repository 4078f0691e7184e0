"""Draws the picture of docs/architecture.md from the imports of the code: run it after a move."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- drawn by docs/draw_architecture.py -->\n", "<!-- end -->\n"


def imports(path: Path) -> set[str]:
    """Dotted names of all that a file imports: modules, and what is taken out of them."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{a.name}" for a in node.names}
    return names


def packages(root: Path) -> dict[str, set[str]]:
    """What each folder or file directly below the package at ``root`` imports of the others."""
    found: dict[str, set[str]] = {}
    for path in sorted(root.rglob("*.py")):
        package = path.relative_to(root).parts[0].removesuffix(".py")
        needs = found.setdefault(package, set())
        for name in imports(path):
            first, *rest = name.split(".")
            if first == root.name and rest:
                needs.add(rest[0])
    found.pop("__init__", None)
    return {package: (needs & {*found}) - {package} for package, needs in found.items()}


def reduced(needs: dict[str, set[str]]) -> dict[str, set[str]]:
    """Only the arrows that no chain of others implies."""

    def below(package: str) -> set[str]:
        return needs[package].union(*(below(n) for n in needs[package]))

    return {
        package: {n for n in own if not any(n in below(other) for other in own - {n})}
        for package, own in needs.items()
    }


def picture() -> str:
    """A Mermaid graph: an arrow from each package to those it imports."""
    arrows = [
        f"  {package} --> {need}"
        for package, own in reduced(packages(ROOT / "fusionjax")).items()
        for need in sorted(own)
    ]
    return "\n".join(["```mermaid", "graph TD", *arrows, "```", ""])


def page() -> str:
    """The page with today's picture."""
    before, rest = PAGE.read_text().split(BEGIN)
    return before + BEGIN + picture() + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(page())
