"""How Sphinx builds these pages: `make docs`, with no network."""

import logging
from importlib.metadata import version as version_of

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml

project = "skattn"
author = "The skattn developers"
project_copyright = "2026, The skattn developers"
version = release = version_of("skattn")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_demo", "tutorials/GALLERY_HEADER.rst"]
nitpicky = False
# A room may still be empty. Sphinx 9.0 gives this warning no type, so `suppress_warnings` cannot name it.
logging.getLogger("sphinx.sphinx.directives.other").addFilter(lambda r: getattr(r, "subtype", "") != "empty_glob")

# Reference: reference/index.rst is the list, _templates/autosummary says how one entry looks.
autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say the types, with their defaults
numpydoc_show_class_members = False

# Tutorials: scripts in tutorials/, run at every build, pages in gallery/.
sphinx_gallery_conf = {
    "examples_dirs": "tutorials",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"/(?!plot_)[^/]*\.py$",
    "within_subsection_order": "FileNameSortKey",
    "copyfile_regex": r"^$",  # nothing: tutorials/index.rst is a page of its own
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
}

html_theme = "pydata_sphinx_theme"
html_math_renderer = "mathml"  # below; browsers draw it by themselves, while MathJax would be fetched from the network
html_title = f"skattn {version}"
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "skattn"},
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}


# Methods inherited from scikit-learn, sktime and torch are their documentation's to explain: leave them out, but for
# the verbs that make a forecaster, of which the first sentence stays.
VERBS = {"fit", "predict", "predict_interval", "predict_quantiles", "update"}


def is_borrowed(obj):
    obj = getattr(obj, "fget", obj)  # a property does not know its module, its function does
    return not str(getattr(obj, "__module__", "skattn")).startswith("skattn")


def skip_borrowed(app, what, name, obj, skip, options):
    return True if is_borrowed(obj) and name not in VERBS else None


def shorten_borrowed(app, what, name, obj, options, lines):
    if is_borrowed(obj) and "" in lines:
        del lines[lines.index("") :]


def inline_math(writer, node):
    writer.body.append(tex2mathml(node.astext()))
    raise SkipNode


def block_math(writer, node):
    writer.body.append(f"<p>{tex2mathml(node.astext(), as_block=True)}</p>")
    raise SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", inline_renderers=(inline_math, None), block_renderers=(block_math, None))
    app.connect("autodoc-skip-member", skip_borrowed)
    app.connect("autodoc-process-docstring", shorten_borrowed, priority=0)  # before numpydoc reads it
