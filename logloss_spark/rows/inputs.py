"""A table of predictions made ready: the columns of its roles, brought to one type each.

Afterwards there are only these names: `slice_0` …, `label`, `prediction`, `weight` and `bucket`. A label keeps its own
type, as it is compared and never cast. Predictions and weights become doubles.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, MapType, UserDefinedType

from logloss_spark.errors import SpecError
from logloss_spark.io.files import FileTable
from logloss_spark.roles import Columns, Roles
from logloss_spark.rows.bins import literal_texts
from logloss_spark.rows.clusters import cluster_hash
from logloss_spark.rows.columns import Find, check_batch, finder, has_vectors, with_index_names
from logloss_spark.rows.engines import Engine, InSpark, check_engine, engine_in_spark
from logloss_spark.rows.form import Fields, Form, check_width, fields_of, form_of, is_number, is_one_number
from logloss_spark.scoring import Label, Scoring

ComparedRows = Literal["all", "shared"]
"""On which rows models are compared: those that all score, or those that a challenger and the baseline do."""

BUCKETS = 64
"""The number of buckets that clusters are hashed into. Sums per bucket are few, and they add; those per cluster not."""

PROBED = 100
"""The number of rows that `check_logits` looks at."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A table of predictions made ready to be scored.

    Attributes
    ----------
    source : DataFrame
        The user's table.
    table : DataFrame
        The columns `slice_0` …, `label`, `prediction`, and `weight` and `bucket` where there are any. Of a margin
        `prediction` holds both entries, [-z, z], until the status of its row is known.
    roles : Roles
        Which columns of the user's table they are.
    scoring : Scoring
        How they are scored.
    form : Form
        What the schema says of them.
    engine : Engine
        What shall compute their losses.
    weight_exponent : int
        Weights count in units of 2 to the power of this.
    models : tuple of str
        The models that are compared, the baseline first, or none. The table then holds their predictions as
        `prediction_0`, `prediction_1`, ….
    predictions : tuple of Columns
        The columns of the user's table that hold the forecasts, the baseline's first; none where the forecasts of a row
        come from several rows of that table.
    files : FileTable or str, optional
        The files that the user's table consists of, or why it may be more; None where nobody looked yet.
    compared_on : ComparedRows
        The rows that they are compared on.
    """

    source: DataFrame
    table: DataFrame
    roles: Roles
    scoring: Scoring
    form: Form
    engine: Engine
    weight_exponent: int = 0
    models: tuple[str, ...] = ()
    predictions: tuple[Columns, ...] = ()
    files: FileTable | str | None = None
    compared_on: ComparedRows = "all"

    @property
    def engine_in_spark(self) -> InSpark:
        """What computes the losses where the rows are Spark's."""
        return engine_in_spark(self.engine, self.scoring)

    @property
    def slices(self) -> list[str]:
        """The names of the slice columns in `table`."""
        return [slice_name(index) for index in range(len(self.roles.slices))]


def slice_name(index: int) -> str:
    """The name of the slice column with this index, until a state is complete."""
    return f"slice_{index}"


def rows_of(
    df: DataFrame,
    roles: Roles,
    scoring: Scoring,
    *,
    engine: Engine = "auto",
    beside: Callable[[Find], Mapping[str, Column]] | None = None,
) -> Rows:
    """Make a table ready to be scored. `beside` returns further columns, from what it finds in the table.

    Raises
    ------
    SpecError
        A role has no column in the table, or one of a type that it cannot have; or two arguments contradict each other.
    """
    check_engine(engine, scoring)
    check_width(roles, scoring)
    find = finder(df)
    fields = fields_of(find, roles)
    form = form_of(fields, roles, scoring, has_vectors=has_vectors(df.schema))
    columns = {
        **{slice_name(index): fields[name].column for index, name in enumerate(roles.slices)},
        "label": labels(fields, roles.label, form),
        "prediction": forecast(fields, roles.prediction, scoring, form.classes),
    }
    if roles.weight is not None:
        columns["weight"] = fields[roles.weight].column.cast("double")
    if roles.cluster is not None:
        columns["bucket"] = bucket(fields[roles.cluster].type, fields[roles.cluster].column)
    if roles.labelled is not None:
        columns["labelled"] = find("labelled", roles.labelled).column
    columns |= beside(find) if beside else {}
    table = with_index_names(df).select(*[column.alias(name) for name, column in columns.items()])
    return Rows(
        source=df, table=table, roles=roles, scoring=scoring, form=form, engine=engine, predictions=(roles.prediction,)
    )


def bucket(type_: DataType, cluster: Column) -> Column:
    """The bucket of each cluster, 0..63, by xxHash64 with the seed that Spark fixes; null where the cluster is null.

    A number has the same bucket in every numeric type and as plain text, so that tables of different days need not
    agree on the type of the column. Whole numbers within bigint are hashed as bigint, other numbers as double. Text
    that is no number, whole numbers beyond bigint, and dates are hashed as text.
    """
    return F.when(cluster.isNotNull(), F.pmod(cluster_hash(type_, cluster), F.lit(BUCKETS)).cast("int"))


def types_of(df: DataFrame) -> dict[str, DataType]:
    """The type of each column, by name; raises SpecError for anything but a batch DataFrame."""
    check_batch(df)
    return {field.name: field.dataType for field in df.schema.fields}


def labels(fields: Fields, columns: Columns, form: Form) -> Column:
    """Soft labels as doubles or arrays; hard labels as they are."""
    return scores(fields, columns, form.classes) if form.soft_labels else fields[str(columns)].column


def scores(fields: Fields, columns: Columns, classes: Sequence[Label]) -> Column:
    """A forecast or a soft label as a double, or as an array<double> with one entry per class."""
    if not isinstance(columns, str):
        return F.array(*[fields[name].column.cast("double") for name in columns])
    type_, column = fields[columns].type, fields[columns].column
    if isinstance(type_, MapType):
        keys = literal_texts(map(str, classes), type_.keyType.simpleString())
        entries = F.transform(keys, lambda key: F.try_element_at(column, key).cast("double"))
        return F.when(column.isNotNull(), entries)
    if isinstance(type_, UserDefinedType):
        return entries_of_vector(F.unwrap_udt(column))
    return column.cast("double" if is_number(type_) else "array<double>")


def forecast(fields: Fields, prediction: Columns, scoring: Scoring, classes: Sequence[Label]) -> Column:
    """A forecast as a double or an array<double>; a margin as the two entries [-z, z], whatever form it has."""
    found = scores(fields, prediction, classes)
    return F.array(-found, found) if scoring.kind == "margin" and is_one_number(fields, prediction) else found


def score_of(rows: Rows, prediction: Column) -> Column:
    """The score of each row: the last entry of a margin, the entries of a distribution clipped to [0, 1]."""
    if rows.scoring.kind == "margin":
        return F.get(prediction, F.lit(1))
    of_classes = rows.scoring.kind == "probability" and not rows.form.scalar
    return in_unit_interval(prediction) if of_classes else prediction


def in_unit_interval(distribution: Column) -> Column:
    """A distribution with its entries clipped to [0, 1], which they may exceed within the tolerance."""
    beyond = (F.array_min(distribution) < 0) | (F.array_max(distribution) > 1)
    held = F.transform(distribution, lambda share: F.least(F.greatest(share, F.lit(0.0)), F.lit(1.0)))
    return F.when(beyond, held).otherwise(distribution)


def check_logits(rows: Rows, of_model: str = "") -> None:
    """Raise SpecError if a prediction of two logits looks like Spark's rawPrediction, and so would be scored as 2z.

    Reads the first `PROBED` rows whose logits are not both 0 or NaN; reads nothing unless the prediction is two logits.
    """
    if rows.scoring.kind != "logit" or rows.form.scalar or rows.form.size != 2:
        return
    entries = [F.get("prediction", F.lit(index)) for index in range(2)]
    other, logit = entries
    tells = ((other != 0) | (logit != 0)) & ~F.isnan(other) & ~F.isnan(logit)
    pairs = rows.table.where(tells).select(other.alias("other"), logit.alias("logit")).head(PROBED)
    if pairs and all(pair.other == -pair.logit for pair in pairs):
        raise SpecError(
            f"the prediction{of_model} looks like Spark's rawPrediction, [-z, z]: in the first {len(pairs)} rows each "
            "entry is the negative of the other. Pass kind='margin'; or if these are two logits, pass their "
            "difference, the second minus the first, as one column"
        )


def entries_of_vector(vector: Column) -> Column:
    """The entries of an unwrapped ML vector as an array. Its type is 0 if it is sparse, 1 if it is dense."""

    def entry(index: Column) -> Column:
        stored = F.array_position(vector["indices"], index).cast("int") - 1
        return F.coalesce(F.get(vector["values"], stored), F.lit(0.0))

    entries = F.transform(F.sequence(F.lit(0), vector["size"] - 1), entry)
    # An empty vector is taken as dense: a sequence from 0 to -1 would count down.
    return F.when((vector["type"] == 1) | (vector["size"] == 0), vector["values"]).otherwise(entries)
