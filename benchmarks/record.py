"""Results of a benchmark as JSON beside it, rendered into the README of its folder."""

import json
import os
import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("skattn", "torch", "skorch", "scikit-learn", "sktime", "statsmodels", "numpy")


def save(script, rows, notes, keys=()):
    """Write `rows` (dicts with the same keys) and what they were measured with; render them into the README.

    Parameters
    ----------
    script : str
        ``__file__`` of the benchmark: results go to its folder, under its name.
    rows : list of dict
        The table.
    notes : str
        Protocol and seeds, in a sentence or two, shown above the table.
    keys : sequence of str, default=()
        Columns that tell rows apart. Rows saved earlier stay, but for those that agree with a new one in all of these;
        none means that the new rows are the whole table.
    """
    path = Path(script)
    file = path.parent / "results" / f"{path.stem}.json"
    print(table(rows))
    if keys and file.exists():
        rows = _merged(json.loads(file.read_text())["rows"], rows, keys)
    result = {
        "date": date.today().isoformat(),
        "versions": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "machine": f"{os.cpu_count()} cores, {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') >> 30} GiB",
        "notes": notes,
        "rows": rows,
    }
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(result, indent=1) + "\n")
    render(path.parent / "README.md", path.stem, result)


def render(readme, name, result):
    """Put a result between the markers that bear its name."""
    start, end = f"<!-- {name} -->", f"<!-- end {name} -->"
    versions = ", ".join(f"{key} {value}" for key, value in result["versions"].items())
    facts = f"{result['notes']}\n\n{result['date']}; {result['machine']}; Python {result['python']}, {versions}."
    before, _, rest = readme.read_text().partition(start)
    readme.write_text(f"{before}{start}\n\n{facts}\n\n{table(result['rows'])}\n\n{end}{rest.partition(end)[2]}")


def table(rows):
    """Rows as a table of Markdown."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, ["---"] * len(names), *([_cell(row.get(name, "")) for name in names] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _merged(old, new, keys):
    """Old rows and new ones in the order of their keys; of two that agree in these, the new one."""
    rows = {tuple(row[key] for key in keys): row for row in [*old, *new]}
    return [rows[key] for key in sorted(rows)]


def _cell(value):
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def spread(values):
    """Mean and standard deviation over seeds, as text."""
    mean = sum(values) / len(values)
    deviation = (sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1)) ** 0.5
    return f"{mean:.3g} ± {deviation:.2g}"
