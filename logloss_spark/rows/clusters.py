"""The hash of a cluster by xxHash64, which is the same in every numeric type and as text."""

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, DateType, DecimalType, DoubleType, FloatType, IntegralType, StringType

WHOLE = r"^-?[0-9]+(\.0+)?\z"
FRACTION = r"^-?[0-9]+\.[0-9]+(E-?[0-9]{1,3})?\z"
"""How Spark writes integers and whole decimals; and decimals and doubles that are large or not whole."""


def cluster_hash(type_: DataType, cluster: Column) -> Column:
    """The hash of each cluster, as `rows.inputs.bucket` describes it."""
    if isinstance(type_, IntegralType):
        return F.xxhash64(cluster.cast("bigint"))
    if isinstance(type_, FloatType):  # through its text: 0.1 as a float shall hash as 0.1 does
        return hash_of_double(cluster.cast("string").cast("double"))
    if isinstance(type_, DoubleType):
        return hash_of_double(cluster)
    if isinstance(type_, DecimalType):
        whole = hash_of_digits(F.floor(cluster).cast("string"))
        return F.when(cluster % 1 == 0, whole).otherwise(hash_of_double(cluster.cast("double")))
    if isinstance(type_, (StringType, DateType)):
        return hash_of_text(cluster.cast("string"))
    return F.xxhash64(cluster)


def hash_of_double(number: Column) -> Column:
    """The hash of a double: that of a bigint if it is whole and within bigint."""
    whole = (F.abs(number) < F.lit(2.0**63)) & (F.floor(number) == number)
    return F.when(whole, F.xxhash64(number.try_cast("bigint"))).otherwise(F.xxhash64(number))


def hash_of_digits(digits: Column) -> Column:
    """The hash of a whole number written in digits: that of a bigint, or of its text beyond bigint."""
    number = digits.try_cast("bigint")
    return F.when(number.isNotNull(), F.xxhash64(number)).otherwise(F.xxhash64(digits))


def hash_of_text(text: Column) -> Column:
    """The hash of a text: that of the number that it spells, or that of its UTF-8 bytes."""
    return (
        F.when(text.rlike(WHOLE), hash_of_digits(F.regexp_replace(text, r"\.0+$", "")))
        .when(text.rlike(FRACTION), hash_of_double(text.try_cast("double")))
        .otherwise(F.xxhash64(text))
    )
