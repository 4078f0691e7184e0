"""Ten measurements of this package on one GPU, in one table (docs/gpu.md).

python benchmarks/gpu.py --rehearse                  # on CPU, at toy widths: does it all run?
python benchmarks/gpu.py --items=2,3,5 --out=DIR     # on a GPU, within ten minutes
python benchmarks/gpu.py --seconds=1500              # all of it in one go

Items run one after the other, each in its own process: its GPU memory is freed when it ends, and a
failure or hang does not affect the others. Exit status: 1 if an item failed, 2 for a wrong call.
"""

import argparse
import sys
from pathlib import Path

from fusionjax.errors import InputError
from gpu_items import page
from gpu_items.runner import ITEMS, ROOT, Runner


def main() -> int:
    args = parse_arguments()
    runner = Runner(
        rehearse=args.rehearse, kit=args.kit, work=args.work.absolute(), seconds=args.seconds
    )
    items = [item for item in ITEMS if item.number in args.items]
    report = runner.run(items, " ".join(["python", "benchmarks/gpu.py", *sys.argv[1:]]))
    page.save(report, args.out)
    print(page.text(report))
    print(f"written to {args.out}/{page.name(report)}.json and .md")
    return int(any(outcome.status == "failed" for outcome in report.outcomes))


def parse_arguments() -> argparse.Namespace:
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
    chosen = text.split(",")
    if not {*chosen} <= known:
        raise argparse.ArgumentTypeError(f"{text!r}: expected some of {','.join(sorted(known))}")
    return {int(n) for n in chosen}


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(2)
