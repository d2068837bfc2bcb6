"""Find and hide what must not be printed: the values of options whose names say that they are secret."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

SECRET = re.compile(r"pass(word|wd|phrase)?$|pwd|secret|token|credential|key", re.IGNORECASE)
"""The words in the name of an option by which its value is secret."""

OPTIONS = re.compile(r"\boptions\b")
TYPED = re.compile(r"""["']?([\w .-]+?)["']?\s*=\s*(?:"([^"]*)|'([^']*)|([^\s,{}"']+))""")
"""An entry of a table as TOML writes it, whose quotes may be missing at its end."""

IN_ADDRESS = (
    (re.compile(r"(?<=://)(?:[^/:\s@]+:[^\s@]+|[^/\s@]+)(?=@)"), "***"),  # s3a://id:secret@bucket
    (
        re.compile(r"([?&;][^=?&;\s]*(?:pass|pwd|secret|token|credential|key|sig)[^=?&;\s]*=)[^&;\s'\"]+", re.I),
        r"\1***",
    ),
)
"""Secrets that an address brings along, and what is shown for them."""

LONG = 4
"""A secret of at least this many characters is hidden wherever it stands; a shorter one where it is a whole word."""


def secrets_in(config: Any, among: str = "") -> Iterator[str]:
    """Return the values in the `options` of a config whose names say that they are secret."""
    if isinstance(config, Mapping):
        for name, value in config.items():
            yield from secrets_in(value, f"{among}.{name}")
    elif OPTIONS.search(among) and SECRET.search(OPTIONS.split(among)[-1]) and config not in ("", None):
        yield str(config)


def secrets_in_text(override: str) -> Iterator[str]:
    """Return the secrets in an override of a config as it was typed, TOML or not.

    Examples
    --------
    >>> set(secrets_in_text('input.options.password="hush')) == {'"hush', 'hush'}
    True
    >>> list(secrets_in_text('input.options={user="me", "api key"="hush hush"'))
    ['hush hush']
    """
    if not OPTIONS.search(override):
        return
    name, _, value = override.partition("=")
    found = [value, value.strip("\"' ")] if SECRET.search(name) else []
    for name, *values in TYPED.findall(OPTIONS.split(override, maxsplit=1)[1]):
        found += values if SECRET.search(name) else []
    for text in filter(None, found):
        yield from {text, repr(text)[1:-1]}  # as a message quotes it, too


def redacted(text: str, secrets: Sequence[str]) -> str:
    """Return a text with `***` in the place of each secret, and of those that addresses in it bring along.

    Examples
    --------
    >>> redacted("jdbc:postgresql://me:hush@host/db?password=hush cannot be read: hush", ["hush"])
    'jdbc:postgresql://***@host/db?password=*** cannot be read: ***'
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        whole = re.escape(secret)
        text = re.sub(whole if len(secret) >= LONG else rf"(?<!\w){whole}(?!\w)", "***", text)
    for pattern, shown in IN_ADDRESS:
        text = pattern.sub(shown, text)
    return text


def redacted_in(value: Any, secrets: Sequence[str]) -> Any:
    """Return a value whose texts, however deep in it, are `redacted`."""
    if isinstance(value, Mapping):
        return {name: redacted_in(entry, secrets) for name, entry in value.items()}
    if isinstance(value, list):
        return [redacted_in(entry, secrets) for entry in value]
    return redacted(value, secrets) if isinstance(value, str) else value


def without_secrets(config: Any, secrets: Sequence[str] = (), among: str = "") -> Any:
    """Return a config with `***` in the place of secret options, and of the secrets that its texts hold.

    Examples
    --------
    >>> without_secrets({"input": {"path": "hush", "options": {"user": "me", "password": "hush"}}})
    {'input': {'path': '***', 'options': {'user': 'me', 'password': '***'}}}
    """
    hidden = [*secrets, *secrets_in(config, among)]
    if isinstance(config, Mapping):
        return {name: without_secrets(value, hidden, f"{among}.{name}") for name, value in config.items()}
    if isinstance(config, list):
        return [without_secrets(entry, hidden, among) for entry in config]
    if next(secrets_in(config, among), None) is not None:
        return "***"
    return redacted(config, hidden) if isinstance(config, str) else config
