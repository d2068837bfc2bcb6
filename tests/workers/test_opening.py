"""Files in an S3 store are read with what the worker's environment says of it, and never with less."""

import pickle
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql.types import DoubleType, StructField, StructType

from logloss_spark.errors import DataError, MissingInputError, UnreadableError
from logloss_spark.io.files import File, FileTable
from logloss_spark.workers.opening import located, same_instant
from logloss_spark.workers.parquet import Piece, read_batches

CHANGED = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOTHING = b'<?xml version="1.0"?><ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>'


class Store(BaseHTTPRequestHandler):
    """Objects in memory, served as S3 serves them to who has the key `me`: whole, in ranges, and their heads."""

    objects: dict[str, bytes] = {}  # noqa: RUF012  # one store a process

    def do_HEAD(self) -> None:
        """Answer with an object's size and time of change."""
        self.do_GET()

    def do_GET(self) -> None:
        """Answer with an object, or with the bytes of it that are asked for."""
        address = urlsplit(self.path)
        content = self.objects.get(unquote(address.path))
        if "Credential=me/" not in self.headers.get("Authorization", ""):
            self.answer(403, b"")
        elif "list-type" in address.query:
            self.answer(200, NOTHING)
        elif content is None:
            self.answer(404, b"")
        elif "Range" in self.headers:
            first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
            self.answer(206, content[first : last + 1], f"bytes {first}-{last}/{len(content)}")
        else:
            self.answer(200, content)

    def answer(self, code: int, content: bytes, part: str | None = None) -> None:
        """Send an answer."""
        self.send_response(code)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", CHANGED.strftime("%a, %d %b %Y %H:%M:%S GMT"))
        if part:
            self.send_header("Content-Range", part)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """The objects of a store that the environment names."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    Store.objects = {}
    yield Store.objects
    server.shutdown()
    server.server_close()


def put(store: dict[str, bytes], key: str, rows: int = 1000) -> FileTable:
    """A table of one file in the store, as Spark would list it."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"p": np.arange(float(rows))}), sink, row_group_size=300)
    store[f"/bucket/{key}"] = content = sink.getvalue().to_pybytes()
    file = File(path=f"s3a://bucket/{key}", size=len(content), modified=int(CHANGED.timestamp() * 1e9) + 345_000_000)
    return FileTable(schema=StructType([StructField("p", DoubleType())]), partitions=(), files=(file,))


def read(table: FileTable) -> list[float]:
    """All values of a table's column."""
    (file,) = table.files
    batches = read_batches(table, [Piece(file, 0, file.size)], ["p"])
    return [value for batch in batches for value in batch.column(0).to_pylist()]


@pytest.mark.parametrize("key", ["f.parquet", "dt=2026-01-01/a b%20c+ü.parquet"])
@pytest.mark.parametrize("scheme", ["s3", "s3a"])
def test_a_file_in_a_store_is_read(store: dict[str, bytes], key: str, scheme: str) -> None:
    table = put(store, key)
    (file,) = table.files
    table = replace(table, files=(replace(file, path=file.path.replace("s3a:", f"{scheme}:")),))
    assert read(table) == list(range(1000))
    assert b"hush" not in pickle.dumps(table)


def test_a_file_that_changed_or_is_gone_is_named(store: dict[str, bytes]) -> None:
    table = put(store, "f")
    put(store, "f", rows=1001)
    with pytest.raises(DataError, match="s3a://bucket/f has changed"):
        read(table)
    del store["/bucket/f"]
    with pytest.raises(MissingInputError, match="s3a://bucket/f is gone"):
        read(table)


def test_a_store_that_does_not_let_a_worker_in_is_left_to_spark(
    store: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = put(store, "f")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "you")
    with pytest.raises(UnreadableError, match="workers cannot open s3a://bucket/f") as refused:
        read(table)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("address", ["dbfs://folder/f", "hdfs://nowhere:1/f", "wasb://c@a/f"])
def test_a_store_that_workers_do_not_know_is_left_to_spark(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HADOOP_HOME", raising=False)
    with pytest.raises(UnreadableError, match="workers cannot open files of"):
        located(address, {})


def test_a_store_of_azure_is_addressed_by_its_account_and_container(monkeypatch: pytest.MonkeyPatch) -> None:
    system, path = located("abfss://box@account.dfs.core.windows.net/folder/f.parquet", {})
    assert system.type_name == "abfs"
    assert path == "box/folder/f.parquet"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1_700_000_000_123_456_789, 1_700_000_000_123_000_000, True),  # Spark lists milliseconds
        (1_700_000_000_000_000_000, 1_700_000_000_123_456_789, True),  # S3 gives seconds
        (1_700_000_000_123_456_789, 1_700_000_000_124_000_000, False),
        (1_700_000_001_000_000_000, 1_700_000_000_123_456_789, False),
        (None, 1_700_000_000_123_456_789, True),
    ],
)
def test_times_of_change_are_compared_as_exactly_as_both_are_known(one: int | None, other: int, same: bool) -> None:
    assert same_instant(one, other) == same
