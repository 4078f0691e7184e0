"""What one GPU makes of this package: ten measurements, one table (docs/gpu.md).

python benchmarks/gpu.py --rehearse                  # on CPU, at toy widths: does it all run?
python benchmarks/gpu.py --items=2,3,5 --out=DIR     # on a GPU, within ten minutes
python benchmarks/gpu.py --seconds=1500              # all of it in one go

Each item runs in a process of its own, one after the other: what it leaves in the GPU's memory ends
with it, and one that fails or hangs takes no other along. Status 1 if one failed, 2 for a mistake.
"""

import argparse
import sys
from pathlib import Path

from fusionjax.errors import InputError
from gpu_items import page
from gpu_items.runner import ITEMS, ROOT, Runner


def main() -> int:
    asked = parsed()
    runner = Runner(
        rehearse=asked.rehearse, kit=asked.kit, work=asked.work.absolute(), seconds=asked.seconds
    )
    wanted = [item for item in ITEMS if item.number in asked.items]
    report = runner.run(wanted, " ".join(["python", "benchmarks/gpu.py", *sys.argv[1:]]))
    page.save(report, asked.out)
    print(page.text(report))
    print(f"written to {asked.out}/{page.name(report)}.json and .md")
    return int(any(outcome.status == "failed" for outcome in report.outcomes))


def parsed() -> argparse.Namespace:
    flags = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    every = ",".join(str(item.number) for item in ITEMS)
    flags.add_argument("--items", type=numbers, default=every, help=f"of {every}")
    flags.add_argument("--seconds", type=float, default=540.0, help="for all items together")
    flags.add_argument("--rehearse", action="store_true", help="on the CPU, at toy widths")
    flags.add_argument(
        "--kit", type=Path, default=ROOT / "build/gpu", help="what make gpu-kit made"
    )
    flags.add_argument("--work", type=Path, default=ROOT / "build/gpu_work", help="scratch folder")
    flags.add_argument("--out", type=Path, default=Path("runs/gpu"), help="for the report")
    return flags.parse_args()


def numbers(text: str) -> set[int]:
    known = {str(item.number) for item in ITEMS}
    asked = text.split(",")
    if not {*asked} <= known:
        raise argparse.ArgumentTypeError(f"{text!r}: expected some of {','.join(sorted(known))}")
    return {int(n) for n in asked}


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(2)
