"""What must not be printed."""

import pytest

from logloss_spark.io.secrets import redacted, secrets_in, secrets_in_text

NAMES = ["password", "sfPassword", "dbtable.secret", "fs.s3a.secret.key", "API_KEY", "auth-token", "credentials", "pwd"]


@pytest.mark.parametrize("name", NAMES)
def test_options_are_secret_by_their_names(name: str) -> None:
    config = {"input": {"path": "/data", "options": {name: "hush", "header": True}}}
    assert list(secrets_in(config)) == ["hush"]


def test_columns_and_classes_are_no_secrets() -> None:
    assert list(secrets_in({"columns": {"keys": ["day"], "key": "day"}, "input": {"options": {"sep": ";"}}})) == []
    assert list(secrets_in_text("columns.keys=[day")) == []


@pytest.mark.parametrize(
    "override",
    [
        'input.options.password="hush!',
        "input.options.password=hush!",
        "input.options.'my password'=hush!",
        'input.options={user="me", password="hush!", url="x',
        'input.options={"a.key"="hush!" url=',
        "score.options = {token='hush!'",
    ],
)
def test_the_secret_in_an_override_is_known_however_malformed_it_is(override: str) -> None:
    message = f"an override must be section.key=value, got {override!r}"
    assert "hush!" not in redacted(message, list(secrets_in_text(override)))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot read s3a://AKIA:hu/sh@bucket/x", "cannot read s3a://***@bucket/x"),
        ("cannot read s3a://AKIA:hush@bucket/x", "cannot read s3a://***@bucket/x"),
        ("jdbc:sqlserver://h;user=me;password=hush;x=1", "jdbc:sqlserver://h;user=me;password=***;x=1"),
        ("https://h/f.csv?sig=hush&sv=1", "https://h/f.csv?sig=***&sv=1"),
        ("a section.key=value, as in --set input.path=x", "a section.key=value, as in --set input.path=x"),
    ],
)
def test_addresses_lose_their_secrets(text: str, shown: str) -> None:
    assert redacted(text, []) == shown


def test_short_secrets_are_hidden_as_words_and_long_ones_anywhere() -> None:
    assert redacted("user a, table abc, xlonger", ["a", "longer", ""]) == "user ***, table abc, x***"
