"""The page of an artefact that people read first: what it forecasts, from what, and its limits."""

from typing import Any


def written(manifest: dict[str, Any]) -> str:
    """A manifest as Markdown, without its config."""
    first, last = manifest["trained"]
    lines = [
        f"# {manifest['name']}",
        "",
        f"Forecasts of stocks, exported by fusionjax {manifest['versions']['fusionjax']} on "
        f"{manifest['exported']}.",
        "",
        f"- Trained on targets from {first} to {last}; {len(manifest['seeds'])} seed(s), averaged.",
        f"- Calibrated by labels known at the close of {manifest['cutoff']}: of later sessions the "
        "calibration is as old as that.",
        f"- Runs on {', '.join(manifest['platforms'])} by jax; exported with "
        f"{manifest['versions']['jax']}.",
        f"- Data: {manifest['data']['fingerprint'][:12]}.",
    ]
    if manifest["encoder"] is not None:
        encoder = manifest["encoder"]
        lines.append(
            f"- Texts are read by {encoder['name']}, which had read texts up to "
            f"{encoder['data_cutoff']}: scores on earlier days may know the future."
        )
    for title, entries in (("Inputs", manifest["inputs"]), ("Outputs", manifest["outputs"])):
        lines += ["", f"## {title}", "", "| name | shape | dtype | meaning |", "|---|---|---|---|"]
        for name, entry in entries.items():
            shape = " × ".join(map(str, entry["shape"]))
            lines.append(f"| `{name}` | {shape} | {entry['dtype']} | {entry['meaning']} |")
    lines += [
        "",
        "## Use",
        "",
        "```python",
        "from fusionjax.artifact import Artifact  # needs jax, numpy, flatbuffers",
        "",
        'outputs = Artifact.load("this folder").forecast(inputs)',
        "```",
        "",
        "`python -m fusionjax.artifact FOLDER` makes the forecasts of `example.safetensors` again.",
        "",
        "## Limits",
        "",
        "A forecast is a distribution, not advice. What the experts forecast is an input, as the "
        "program does not hold them. How good it was on days it had not seen, beside simple "
        "baselines, `fusionjax evaluate` says of the run.",
        "",
    ]
    return "\n".join(lines)
