"""Tests of the shape of the package: what imports what, what is public, what is documented, how long a file is."""

import ast
import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import skattn

ROOT = Path(skattn.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
NAMES = [str(path.relative_to(ROOT)) for path in FILES]

# The hourglass. A file imports from lower layers only, and at module level, beside numpy and the standard library, from
# the packages named here only. A new file has to be given its place.
LAYERS = {
    "nn": (0, {"torch"}),
    "windows": (0, {"torch"}),
    "callbacks": (1, {"skorch"}),
    "datasets": (1, {"sklearn"}),
    "graph": (1, {"pandas", "scipy", "sklearn"}),
    "horizon": (1, {"pandas"}),
    "metrics": (1, {"sklearn"}),
    "linear": (1, {"torch"}),
    "optim": (0, {"torch"}),
    "parallel": (0, {"threadpoolctl", "torch"}),
    "parts": (2, {"torch"}),
    "model_selection": (1, {"sklearn"}),
    "net": (1, {"skorch", "torch"}),
    "cycles": (3, {"pandas"}),
    "panel": (2, {"pandas"}),
    "parameters": (1, {"sklearn", "torch"}),
    "preprocessing": (1, {"sklearn"}),
    "validation": (1, {"torch"}),
    "rows": (2, {"sklearn"}),
    "weights": (1, set()),
    "base": (3, {"sklearn", "skorch", "torch"}),
    "classifier": (4, {"sklearn"}),
    "inspection": (4, {"pandas", "scipy", "sklearn", "torch"}),
    "regressor": (4, {"sklearn"}),
    "forecaster": (5, {"pandas", "sklearn", "sktime"}),
    "faces": (6, {"sktime"}),
}
# Within functions, where they cost nothing until they are called, these may be imported too.
LATE = {name: {"pandas"} for name in LAYERS} | {"nn": set(), "windows": set()}
LATE["inspection"] = {"captum", "matplotlib"}


def place(path):
    """The key of LAYERS that a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path):
    """Pairs of an imported module and whether it is imported at module level."""
    pairs = []

    def visit(node, late):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                pairs.extend((alias.name, late) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path.name}: relative imports hide where things live"
                pairs.append((child.module, late))
            else:
                visit(child, late or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))

    visit(ast.parse(path.read_text()), False)
    return pairs


def run(code):
    """What a fresh process prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


# ----------------------------------------------------------------------------------------------------- what imports


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import skattn", "torch sktime sklearn skorch pandas matplotlib numpy"),
        ("import skattn; dir(skattn)", "torch sktime sklearn skorch pandas matplotlib numpy"),
        ("import skattn.nn, skattn.windows", "sktime sklearn skorch pandas matplotlib"),
        ("from skattn import AttentionLSTMRegressor, AttentionLSTMClassifier, inspection", "sktime matplotlib"),
    ],
)
def test_what_an_import_loads(statement, absent):
    """In a fresh process, a statement loads no package that it does not need."""
    code = f"{statement}; import sys; print(*(name for name in {absent.split()!r} if name in sys.modules), 'end')"
    assert run(code) == ["end"]


def test_every_file_has_a_place():
    """A new file says in LAYERS where it belongs."""
    assert {place(path) for path in FILES} == {*LAYERS, "__init__"}


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_imports_point_downwards(path):
    """A file imports from lower layers, or within its own folder."""
    layer = LAYERS.get(place(path), (99,))[0]
    for module, _ in imports(path):
        first, *rest = module.split(".")
        if first == "skattn" and rest and rest[0] != place(path):
            assert LAYERS[rest[0]][0] < layer, f"{path.name} imports {module}, which is not below it"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_packages_that_a_file_imports(path):
    """A file imports the packages that its layer may know, and no other."""
    known = LAYERS.get(place(path), (99, set()))[1]
    for module, late in imports(path):
        package = module.split(".")[0]
        if package in {"skattn", "numpy", *sys.stdlib_module_names}:
            continue
        assert package in known | (LATE.get(place(path), set()) if late else set()), f"{path.name} imports {module}"


def test_the_rule_can_fail(tmp_path):
    """The parser sees imports at module level, in a class, in a function and in a condition."""
    path = tmp_path / "example.py"
    path.write_text(
        "import a.b\nif True:\n    from c import d\nclass E:\n    import f\ndef g():\n    if h:\n        import i, j\n"
    )
    assert imports(path) == [("a.b", False), ("c", False), ("f", False), ("i", True), ("j", True)]


# -------------------------------------------------------------------------------------------------- what is public

PUBLIC = {name: getattr(skattn, name) for name in skattn.__all__}
CLASSES = {name: value for name, value in PUBLIC.items() if inspect.isclass(value)}
MODULES = {name: value for name, value in PUBLIC.items() if inspect.ismodule(value)}
# Classes that users make, of the package and of its public modules.
MADE_BY_USERS = CLASSES | {
    f"{module}.{name}": getattr(value, name)
    for module, value in MODULES.items()
    if module not in ("nn", "windows")
    for name in getattr(value, "__all__", [name for name in vars(value) if not name.startswith("_")])
    if inspect.isclass(getattr(value, name))
    and getattr(value, name).__module__.startswith("skattn")
    and not issubclass(getattr(value, name), Warning)
}


def section(doc, title):
    """The text of a numpydoc section."""
    after = re.split(rf"^{title}\n-+\n", doc, flags=re.MULTILINE)[1]
    return re.split(r"^\S.*\n-{3,}\n", after, maxsplit=1, flags=re.MULTILINE)[0]


def documented(kind):
    """Parameters of a docstring, in order, with their type lines."""
    lines = re.findall(
        r"^(\w+(?:, \w+)*) : (.+(?:\n .*\\)*)$", section(inspect.getdoc(kind), "Parameters"), re.MULTILINE
    )
    return {name: types for names, types in lines for name in names.split(", ")}


def test_public_names():
    """All names are listed by dir, are what they seem, and come with a star."""
    assert len(set(skattn.__all__)) == len(skattn.__all__)
    assert set(skattn.__all__) <= set(dir(skattn))
    assert set(CLASSES) | set(MODULES) == set(skattn.__all__)
    assert all(value.__name__ == name for name, value in CLASSES.items())
    assert all(value.__name__ == f"skattn.{name}" for name, value in MODULES.items())
    namespace = {}
    exec("from skattn import *", namespace)
    assert set(skattn.__all__) <= set(namespace)


def test_unknown_name():
    """A name that does not exist is said so, like in any module."""
    with pytest.raises(AttributeError, match=r"module 'skattn' has no attribute 'Regressor'"):
        _ = skattn.Regressor
    with pytest.raises(ImportError, match="Regressor"):
        exec("from skattn import Regressor")


@pytest.mark.parametrize("name", MODULES)
def test_modules_are_documented(name):
    """A public module says what it is."""
    assert len(MODULES[name].__doc__.strip()) > 20


@pytest.mark.parametrize("name", MADE_BY_USERS)
def test_classes_are_documented(name):
    """A public class has a summary of one line, its parameters, and an example."""
    doc = inspect.getdoc(MADE_BY_USERS[name])
    assert re.match(r"\S.*\.\n\n", doc), "the first line is a sentence, and is followed by an empty one"
    assert section(doc, "Parameters").strip()
    assert ">>> " in section(doc, "Examples")


@pytest.mark.parametrize("name", MADE_BY_USERS)
def test_parameters_are_documented_in_order(name):
    """The docstring has every parameter of the constructor, in the order of its signature, and no other."""
    signature = inspect.signature(MADE_BY_USERS[name])
    assert list(documented(MADE_BY_USERS[name])) == list(signature.parameters)


@pytest.mark.parametrize("name", MADE_BY_USERS)
def test_defaults_are_documented(name):
    """The type line of a parameter ends with its default."""
    types = documented(MADE_BY_USERS[name])
    for parameter in inspect.signature(MADE_BY_USERS[name]).parameters.values():
        given = re.search(r"default=(.+)$", types[parameter.name])
        if parameter.default is inspect.Parameter.empty:
            assert given is None, parameter
        else:
            assert given is not None, parameter
            assert ast.literal_eval(given[1]) == parameter.default, parameter


@pytest.mark.parametrize("name", MADE_BY_USERS)
def test_methods_are_documented(name):
    """Public methods that skattn wrote have a docstring of their own."""
    for key in dir(MADE_BY_USERS[name]):
        method = getattr(MADE_BY_USERS[name], key, None)
        if key.startswith("_") or not inspect.isfunction(method) or not method.__module__.startswith("skattn"):
            continue
        assert method.__doc__, key


# -------------------------------------------------------------------------------------------------- what it is like


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_file_is_one_idea(path):
    """No file reaches 400 lines, and each begins by saying what it is."""
    text = path.read_text()
    assert len(text.splitlines()) < 400
    assert ast.get_docstring(ast.parse(text))


def test_no_utils():
    """What has no name of its own has not been thought through."""
    assert not {"utils", "util", "helpers", "misc", "common"} & {path.stem.strip("_") for path in FILES}


def test_components_are_listed_by_their_files():
    """The dictionaries of components hold classes of their own file, each with a docstring."""
    for module, name in (
        ("attention", "ATTENTIONS"),
        ("encoder", "ENCODERS"),
        ("normalization", "NORMALIZATIONS"),
        ("head", "HEADS"),
    ):
        options = getattr(import_module(f"skattn.nn.{module}"), name)
        assert options is getattr(skattn.nn, name)
        for key, kind in options.items():
            assert kind.__module__ == f"skattn.nn.{module}", key
            assert "__doc__" in vars(kind), key
            assert kind.__doc__, key


def test_types_are_shipped():
    """The marker that type checkers look for is there."""
    assert (ROOT / "py.typed").exists()
