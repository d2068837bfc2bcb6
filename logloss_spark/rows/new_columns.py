"""Names of columns that are added to a table."""

from collections.abc import Mapping

from pyspark.sql import DataFrame

from logloss_spark.errors import SpecError


def check_new_columns(df: DataFrame, names: Mapping[str, str]) -> None:
    """Raise SpecError unless the new columns, given by their role, have names that no other column has."""
    taken = {name.casefold() for name in df.columns}
    for role, name in names.items():
        if not isinstance(name, str) or not name:
            raise SpecError(f"{role} must be the name of a new column, got {name!r}")
        if name.casefold() in taken:
            raise SpecError(
                f"new columns must have new names, got {role}={name!r}, which is in the table to score already: give "
                f"it another name, as in {role}={name + '_of_model'!r}"
            )
    if len({name.casefold() for name in names.values()}) < len(names):
        raise SpecError(f"new columns must have names of their own, got {list(names.values())}")
