"""Prepares raw data: validates it, joins it in time, embeds texts, decodes media.

fusionjax prepare --config=acl18
fusionjax prepare --config=acl18 --audit     # its quality, as an HTML page
fusionjax prepare --config=planted_folder --data=FOLDER   # a market folder
fusionjax prepare --config=acl18 --verify   # reads every file, whatever its time
fusionjax prepare --config=acl18 --prune    # what no set needs; --yes removes it
fusionjax prepare --config=acl18 --workers=4   # embeds and decodes by so many processes
fusionjax prepare --config=acl18 --scheduler=tcp://HOST:8786   # by a Dask cluster (docs/data.md)
fusionjax prepare --config=acl18 --share=0/8   # an eighth of that, without Dask
"""

import sys

from absl import flags

from fusionjax import app
from fusionjax.config import Config
from fusionjax.errors import require_extra

_DATA = flags.DEFINE_string("data", None, "A market folder, in place of the config's raw data")
flags.DEFINE_alias("source", "data")
_AUDIT = flags.DEFINE_bool(
    "audit", False, "Also audit the set; exit status 3 if it is not fit to train on"
)
_VERIFY = flags.DEFINE_bool(
    "verify", False, "Also hash all raw files anew and compare all files of the set with their sums"
)
_PRUNE = flags.DEFINE_bool(
    "prune", False, "Also show what no set of the present raw files needs; with --yes, remove it"
)
_YES = flags.DEFINE_bool("yes", False, "Remove what --prune shows")
_SHARE = flags.DEFINE_string(
    "share", None, "Only embed and decode a share of the texts and files, one of 0/N to N-1/N"
)
_WORKERS = flags.DEFINE_integer("workers", None, "Embed and decode in N processes", lower_bound=1)
_SCHEDULER = flags.DEFINE_string("scheduler", None, "Address of a Dask scheduler, for its workers")
flags.mark_flags_as_mutual_exclusive(["share", "workers", "scheduler"])


def main(config: Config) -> None:
    workers = _WORKERS.value or _SCHEDULER.value
    if workers:
        require_extra("cluster", "distributed", "cryptography")
    from fusionjax.data import audit, prepare, shares, store, upkeep
    from fusionjax.report import audit as audit_page
    from fusionjax.telemetry import CONSOLE, progress_bar, say

    if _DATA.value is not None:
        config = config.override({"data.source": "folder", "data.root": _DATA.value})
    if _SHARE.value is not None:
        share = shares.Share.parse(_SHARE.value)
        with progress_bar() as progress:
            stored = shares.store(config.data, share, progress)
        counts = ", ".join(f"{count:,} of {kind}" for kind, count in stored.items()) or "nothing"
        say(f"share {_SHARE.value}: {counts} stored; without --share the set is made of all")
        return
    with progress_bar() as progress:
        if workers:
            from fusionjax.data import cluster

            cluster.store(config.data, workers, app.config_file(), progress)
        folder = prepare.prepare(config.data, progress, trusted=not _VERIFY.value)
    manifest = store.read_manifest(folder)
    say(
        f"{folder}: {manifest['rows']:,} bars of {len(manifest['symbols'])} symbol(s), "
        f"{manifest['first']} to {manifest['last']}; {manifest['documents']:,} texts"
        + "".join(f", {n:,} items of {kind}" for kind, n in manifest["media"].items())
    )
    for note in manifest["notes"]:
        say(f"  left out: {note}")
    for line in manifest["revised"]:
        say(f"  revised: {line}")
    if _VERIFY.value:
        say(f"{upkeep.verify(folder)} folders are as they were written, file by file")
    if _PRUNE.value:
        found = upkeep.prune(folder) if _YES.value else upkeep.unneeded(folder)
        for line in found.lines:
            say(f"  {line}")
        done = "removed" if _YES.value else "may go; --prune --yes removes it"
        say(f"{upkeep.in_words(found.size)} {done}")
    if _AUDIT.value:
        audited = audit.audit(store.load(folder), config)
        CONSOLE.print(audit_page.for_screen(audited))
        audited.save(folder)
        say(f"{audited.verdict}\nwritten to {audit_page.write(audited, folder)} and audit.json")
        if audited.refusals:
            sys.exit(app.EXIT_UNFIT)
