"""What became of a service's forecasts: hits, coverage and losses beside the simplest forecasts.

fusionjax track --from=runs/acl18_stream_serving
Reads the service's folder alone. --verify checks that no day was changed, removed or exchanged
since it was served, and names the first that was; --out=track.json has all figures
(docs/adaptation.md).
"""

import json
from pathlib import Path

from absl import flags

from fusionjax.errors import InputError

_FROM = flags.DEFINE_string("from", None, "Folder of the service", required=True)
_VERIFY = flags.DEFINE_bool("verify", False, "Only check that the days are those that were served")
_OUT = flags.DEFINE_string("out", None, "File to write, .json")


def main(_: None) -> None:
    service, out = Path(_FROM.value), None if _OUT.value is None else Path(_OUT.value)
    if out is not None and (out.suffix != ".json" or _VERIFY.value):
        raise InputError(f"--out={out}: end it with .json, and give it without --verify")
    from fusionjax import files
    from fusionjax.adapt import proof, track

    if _VERIFY.value:
        days, last = proof.verify(service)
        print(f"{service}: {days} served sessions fit their records; the last record is {last}")
        return
    record = track.summary(service)
    print("\n".join(track.lines(record)))
    if out is not None:
        files.write_text(out, json.dumps(record, indent=1))
