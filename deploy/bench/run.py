"""Measures figures: `.venv/bin/python deploy/bench/run.py [NAME…]`, by default all. `--table` only prints results.

Each figure is a module of this folder with `measure() -> dict`. Its result is written to results/NAME.json.
"""

import argparse
import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
README = HERE / "README.md"
BEGIN, END = "<!-- table -->", "<!-- end of table -->"
FIGURES = (
    "first_page",
    "notebook",
    "first_result",
    "spark_cluster",
    "admission",
    "listing",
    "idle",
    "kube_create",
    "kube_create_fast",
    "kube_many",
    "kube_spark",
)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("names", nargs="*", choices=[*FIGURES, []], help="names of figures")
    arguments.add_argument("--table", action="store_true", help="print the stored results only")
    chosen = arguments.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
    sys.path.insert(1, str(HERE.parent.parent))
    for name in [] if chosen.table else chosen.names or FIGURES:
        print(f"measuring {name} …", flush=True)
        result = _measure(name)
        (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
        print(json.dumps(result, indent=2), flush=True)
    _write_table()
    print(table())
    return 0


def _measure(name: str) -> dict[str, Any]:
    from stats import machine

    facts = machine()
    result: dict[str, Any] = importlib.import_module(name).measure()
    return {"name": name, "at": time.strftime("%Y-%m-%d", time.gmtime()), **result, "machine": facts}


def _write_table() -> None:
    before, _, rest = README.read_text().partition(BEGIN)
    README.write_text(f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}")


def table() -> str:
    """Returns the stored results as a Markdown table."""
    rows = [json.loads(path.read_text()) for name in FIGURES if (path := RESULTS / f"{name}.json").exists()]
    lines = ["| figure | what | measured | floor | goal | kept |", "|---|---|---|---|---|---|"]
    for row in rows:
        kept, floor = "yes" if row["kept"] else "no", row.get("floor", {}).get("value", "")
        lines.append(f"| {row['name']} | {row['what']} | {row['value']} | {floor} | {row['goal']} | {kept} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
