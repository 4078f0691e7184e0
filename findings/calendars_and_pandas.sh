#!/usr/bin/env bash
# exchange_calendars 4.13.2 declares pandas>=1.5, and pip installs pandas 3.1.1 beside it.
#
# Good guess: sessions do not depend on the version of pandas; what cannot work raises.
# Seen: with 3.1.1 five exchanges raise at once, and three open with fewer sessions, without a word.
# Why: pandas 3.1 renamed BaseOffset._apply to _add_datetime (pandas-dev/pandas#67028), and the
# library's offsets override _apply: of weeks with a mask of their own nothing is left.
#
# Installs both pairs in a temporary folder (PYTHON=python3). Fails where what is seen changes.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cat > "$work/sessions.py" <<'PY'
import importlib.metadata
import json
import sys
import warnings

import exchange_calendars

warnings.simplefilter("ignore")
for name in ("pandas", "exchange_calendars"):
    print(name, importlib.metadata.version(name), file=sys.stderr)
made = {}
since = {"AIXK": "2017-01-01", "XBOM": "1997-01-01", "XSAU": "2021-01-01"}
since |= {"XSHG": "1990-12-03", "XTKS": "1997-01-01"}
for code in exchange_calendars.get_calendar_names(include_aliases=False):
    try:
        calendar = exchange_calendars.get_calendar(
            code, start=since.get(code, "1990-01-01"), end="2026-09-30"
        )
        made[code] = [str(day)[:10] for day in calendar.sessions]
    except Exception as e:
        made[code] = type(e).__name__
json.dump(made, sys.stdout)
PY
for pandas in 3.0.6 3.1.1; do
  "${PYTHON:-python3}" -m venv "$work/$pandas"
  "$work/$pandas/bin/pip" install --quiet "pandas==$pandas" exchange_calendars==4.13.2
  "$work/$pandas/bin/python" "$work/sessions.py" > "$work/$pandas.json"
done
"${PYTHON:-python3}" - "$work" <<'PY'
import json
import pathlib
import sys

folder = pathlib.Path(sys.argv[1])
right, now = (json.loads((folder / f"{v}.json").read_text()) for v in ("3.0.6", "3.1.1"))
raised = {code: seen for code, seen in now.items() if isinstance(seen, str)}
lost = {c: sorted(set(right[c]) - set(now[c])) for c in now if c not in raised}
lost = {code: days for code, days in lost.items() if days}
print("3.1.1 raises:", raised)
for code, days in lost.items():
    print(f"3.1.1 loses {len(days)} sessions of {code}, the last {days[-1]}")
assert not any(isinstance(seen, str) for seen in right.values())
four = dict.fromkeys(("ASEX", "XBEL", "XBSE", "XCYS"), "NotImplementedError")
assert raised == {**four, "XTAE": "ValueError"}
assert {code: len(days) for code, days in lost.items()} == {"XBOM": 2, "XKRX": 442, "XMOS": 40}
PY
