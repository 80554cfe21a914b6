"""The model card of an exported run."""

from __future__ import annotations

from typing import Any

import jinja2

from sae.export.formats.format import Export
from sae.export.part import n_weights


def card(export: Export) -> str:
    """Write the model card: data, network, figures, use and limits.

    Args:
        export: The part of a run that is exported.

    Returns:
        The text of ``README.md`` in Markdown.
    """
    run, about = export.run, export.about
    content: dict[str, Any] = {
        "about": about,
        "data": run.manifest["data"],
        "rows": run.summary["table"],
        "parameters": n_weights(export.part),
        "layers": [str(layer).splitlines()[0].rstrip("(") for layer in run.stack],
        "sample_words": run.sample_words,
        "kinds": sorted({type(layer).__name__.lower() for layer in run.stack}),
        "reconstructs": run.objective.reconstructs,
        "classifies": export.what == "classifier",
        "foreign": sorted(
            {
                type(each).__module__
                for each in (*run.stack, run.objective)
                if not type(each).__module__.startswith("sae.")
            }
        ),
    }
    loader = jinja2.PackageLoader("sae.export", ".")
    environment = jinja2.Environment(
        loader=loader, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("card.md").render(content)
