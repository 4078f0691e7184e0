"""``python -m fusionjax.artifact DIR``: makes the example's forecasts again and compares them."""

import sys

from fusionjax.artifact.loader import Artifact
from fusionjax.errors import InputError


def main(words: list[str]) -> int:
    """Prints how far forecasts are from the stored ones; returns the exit status."""
    if len(words) != 1:
        print("error: expected one word, the folder of an artefact", file=sys.stderr)
        return 2
    try:
        farthest = Artifact.load(words[0]).check()
    except InputError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    print(f"{words[0]}: the example's forecasts are made again, to {farthest:.1e}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
