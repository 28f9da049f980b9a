"""Results of a benchmark as JSON beside it, rendered into the README of its folder."""

import json
import os
import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("skattn", "torch", "skorch", "scikit-learn", "sktime", "statsmodels", "numpy")


def save(script, rows, notes):
    """Write `rows` (dicts with the same keys) and what they were measured with; render them into the README.

    Parameters
    ----------
    script : str
        ``__file__`` of the benchmark: results go to its folder, under its name.
    rows : list of dict
        The table.
    notes : str
        Protocol and seeds, in a sentence or two, shown above the table.
    """
    path = Path(script)
    result = {
        "date": date.today().isoformat(),
        "versions": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "machine": f"{os.cpu_count()} cores, {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') >> 30} GiB",
        "notes": notes,
        "rows": rows,
    }
    folder = path.parent / "results"
    folder.mkdir(exist_ok=True)
    (folder / f"{path.stem}.json").write_text(json.dumps(result, indent=1) + "\n")
    render(path.parent / "README.md", path.stem, result)
    print(table(rows))


def render(readme, name, result):
    """Put a result between the markers that bear its name."""
    start, end = f"<!-- {name} -->", f"<!-- end {name} -->"
    versions = ", ".join(f"{key} {value}" for key, value in result["versions"].items())
    facts = f"{result['notes']}\n\n{result['date']}; {result['machine']}; Python {result['python']}, {versions}."
    before, _, rest = readme.read_text().partition(start)
    readme.write_text(f"{before}{start}\n\n{facts}\n\n{table(result['rows'])}\n\n{end}{rest.partition(end)[2]}")


def table(rows):
    """Rows as a table of Markdown."""
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([_cell(row.get(name, "")) for name in names] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value):
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def spread(values):
    """Mean and standard deviation over seeds, as text."""
    mean = sum(values) / len(values)
    deviation = (sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1)) ** 0.5
    return f"{mean:.3g} ± {deviation:.2g}"
