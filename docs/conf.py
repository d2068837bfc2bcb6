"""How Sphinx builds these pages: `make docs`."""

import sys
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]  # the package of this checkout, and generate.py

from generate import write_pages  # noqa: E402  # found by the line above

from logloss_spark import __version__  # noqa: E402

project = "logloss_spark"
author = "the authors of logloss_spark"
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the outputs are stored, and tests/docs/test_notebooks.py compares them
exclude_patterns = ["demo", "reference/generated"]
suppress_warnings = ["config.cache"]

default_role = "code"  # docstrings write names between single backticks
napoleon_google_docstring = False
napoleon_use_ivar = True  # else attributes that are properties are described twice
napoleon_use_rtype = False
napoleon_custom_sections = [("Columns", "params_style")]  # what the catalogue of metrics adds to a docstring
autodoc_typehints = "none"  # the docstrings name the types in words
autodoc_member_order = "bysource"

html_theme = "pydata_sphinx_theme"
html_title = "logloss_spark"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_theme_options = {
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
copyright = "the authors of logloss_spark, Apache-2.0"  # Sphinx's name for it


def setup(app: Sphinx) -> None:
    app.connect("builder-inited", lambda _: write_pages(HERE / "reference" / "generated"))
