"""The documentation site; ``tools/docs`` builds it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

project = "imd"
html_title = "imd"
html_theme = "furo"
extensions = ["sphinx.ext.graphviz"]
graphviz_output_format = "svg"
exclude_patterns = ["ext"]
html_copy_source = False
# The site says what it says on any day.
html_last_updated_fmt = None
nitpicky = True
suppress_warnings: list[str] = []


def setup(app: Sphinx) -> None:
    """Write the pages that come from the code."""
    from docs.ext import configuration, metrics, rest, runtime, states

    pages: dict[str, Callable[[], str]] = {
        "configuration": configuration.page,
        "metrics": metrics.page,
        "rest": rest.page,
        "runtime": runtime.page,
        "states": states.page,
    }
    folder = Path(app.srcdir) / "generated"
    folder.mkdir(exist_ok=True)
    for name, page in pages.items():
        path, text = folder / f"{name}.rst", page()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
