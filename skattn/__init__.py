"""Attention networks for sequences, as scikit-learn and sktime estimators.

The public names are loaded when they are first used (PEP 562), so that ``import skattn`` costs next to nothing and
loads neither torch nor sktime.
"""

from importlib import import_module

_HOME = {
    "AttentionLSTMRegressor": "regressor",
    "AttentionLSTMClassifier": "classifier",
    "AttentionLSTMForecaster": "forecaster",
    "AttentionLSTMTimeSeriesRegressor": "faces",
    "AttentionLSTMTimeSeriesClassifier": "faces",
}
_MODULES = ("datasets", "inspection", "model_selection", "nn", "preprocessing", "windows")

__all__ = [*_HOME, *_MODULES]


def __getattr__(name):
    if name in _HOME:
        return getattr(import_module(f"skattn.{_HOME[name]}"), name)
    if name in _MODULES:
        return import_module(f"skattn.{name}")
    if name == "__version__":
        from importlib.metadata import version

        return version("skattn")
    raise AttributeError(f"module 'skattn' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__, "__version__"])
