"""Stages of pyspark.ml as JSON in folders that Spark writes and reads, classic and over Connect.

Spark's own writer cannot overwrite over Connect, where it has no JVM to ask.
"""

from typing import Any, Self

from pyspark.ml.util import DefaultParamsReader, DefaultParamsWriter, MLReadable, MLReader, MLWritable, MLWriter

from logloss_spark.errors import DataError
from logloss_spark.io.texts import load_text, save_text


class JsonStage(MLWritable, MLReadable[Any]):
    """A stage that is written as JSON: its parameters in a folder `metadata`, and its data, if any, beside it."""

    def write(self) -> MLWriter:
        """Return a writer, as Spark's stages do."""
        return JsonWriter(self)

    @classmethod
    def read(cls) -> MLReader[Any]:
        """Return a reader, as Spark's stages do."""
        return JsonReader(cls)

    def write_data(self, path: str, *, overwrite: bool) -> None:
        """Write what a stage holds beside its parameters; by default nothing."""

    @classmethod
    def read_data(cls, path: str) -> Self:
        """Read what `write_data` wrote, and return a stage without its parameters."""
        return cls()


class JsonWriter(MLWriter):
    """Writes a stage."""

    def __init__(self, stage: Any) -> None:
        super().__init__()
        self.stage = stage

    def save(self, path: str) -> None:
        """Write the parameters of the stage, and its data."""
        metadata = DefaultParamsWriter._get_metadata_to_save(self.stage, self.sparkSession)
        folder = path.rstrip("/")
        save_text(metadata, f"{folder}/metadata", overwrite=self.shouldOverwrite)
        self.stage.write_data(folder, overwrite=self.shouldOverwrite)


class JsonReader(MLReader[Any]):
    """Reads a stage that `JsonWriter` wrote."""

    def __init__(self, of_class: Any) -> None:
        super().__init__()
        self.of_class = of_class

    def load(self, path: str) -> Any:
        """Read the parameters of a stage, and its data."""
        folder = path.rstrip("/")
        text = load_text(f"{folder}/metadata")
        stage = self.of_class.read_data(folder)
        name = self.of_class.__name__
        try:
            metadata = DefaultParamsReader._parseMetaData(text)
            if metadata["class"].rpartition(".")[2] != name:
                raise ValueError(metadata["class"])
            stage._resetUid(metadata["uid"])
            DefaultParamsReader.getAndSetParams(stage, metadata)
        except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
            what = f"{type(error).__name__} {error}"
            raise DataError(f"{folder}/metadata must describe a {name}, got something else: {what}") from error
        return stage
