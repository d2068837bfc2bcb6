"""Libraries that only some users have: each belongs to an extra of the package."""

from importlib import import_module
from typing import Any

from logloss_spark.errors import SpecError

PACKAGES = {
    "report": ("jinja2", "matplotlib"),
    "mlflow": ("mlflow-skinny",),
    "openlineage": ("openlineage-python",),
}
"""The packages that each extra brings, as `pyproject.toml` has them."""


def from_extra(module: str, extra: str, what: str) -> Any:
    """Import and return a module of an extra.

    Parameters
    ----------
    module : str
    extra : str
        The extra of this package that brings the module.
    what : str
        What needs it, in the plural.

    Raises
    ------
    SpecError
        The module is not installed.

    Examples
    --------
    >>> from_extra("matplotlib_of_nobody", "report", "plots")
    Traceback (most recent call last):
    logloss_spark.errors.SpecError: plots need the package matplotlib_of_nobody: pip install jinja2 matplotlib
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise SpecError(f"{what} need the package {package}: pip install {' '.join(PACKAGES[extra])}") from None
