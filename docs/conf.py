"""How Sphinx builds the pages: ``python -m sphinx -W --keep-going -b html -c docs . site``.

The root of the repository is the source folder, so that one relative link works here and where the
repository is read as it is.
"""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "docs" / "_ext")]

project = "sae"
copyright = "the authors of sae; MIT licence"
with (ROOT / "pyproject.toml").open("rb") as file:
    version = release = tomllib.load(file)["project"]["version"]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "mathml",
    "plain_docstrings",
]
root_doc = "docs/index"
include_patterns = [
    "docs/*.md",
    "README.md",
    "README.zh-CN.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "benchmarks/RESULTS.md",
]
language = "en"
nitpicky = False

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
# A `$` next to a digit is not a formula.
myst_dmath_allow_labels = False
myst_dmath_allow_digits = False
myst_dmath_double_inline = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False
napoleon_use_rtype = False

html_math_renderer = "mathml"
html_theme = "furo"
html_title = "sae"
html_static_path = ["_static"]
# index.html at the root of the site opens docs/index.html.
html_extra_path = ["_root"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"top_of_page_buttons": []}
copybutton_prompt_text = "$ "

# Primes in formulas are no quotation marks.
smartquotes = False
