"""Names and values that break what handles them carelessly: one list for all tests."""

TEXTS = {
    "html": "<img src=x onerror=alert(1)>",
    "script": "</td></table><script>alert('x')</script>",
    "entity": "a &lt; b &amp; c",
    "quotes": """it's "quoted" `twice`""",
    "dots": "a.b.c",
    "line break": "two\nlines",
    "carriage return": "over\rwritten",
    "tab": "a\tb",
    "escape": "\x1b[31mred\x1b[0m",
    "title of the terminal": "\x1b]0;title\x07",
    "bell and backspace": "a\x07\x08b",
    "NUL": "a\0b",
    "right to left": "user\u202etxt.exe",
    "no width": "US\u200b",
    "emoji": "👩‍💻🔥",
    "wide": "東京都",
    "combining": "e\u0301" * 30,
    "percent": "100%s %(name)s %",
    "braces": "{0} {name!r} {{",
    "brackets": "[a-z]*?",
    "path": "../../etc/passwd",
    "slash and equals": "a/b=c",
    "backslash": "C:\\new\\table",
    "dollars": "$5 and $10",
    "null as a word": "null",
    "nothing": "",
    "space": " ",
    "comma": "a,b;c",
    "long": "long " * 2_000,
    "long word": "x" * 10_000,
}
"""Texts that are valid UTF-8, by what is hostile about them."""

NOT_UTF8 = b"caf\xe9 \xff"
"""Bytes that a Spark column of strings may hold, and no Python string can."""

CONTROLS = {chr(code) for code in (*range(32), *range(127, 160))} | set(
    "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b"
)
"""Signs that must not reach a terminal from data, but for the line breaks that we write."""


def unsafe(text: str, width: int = 120) -> list[str]:
    """What is wrong with a text that goes to a terminal: control signs, or lines that are too long."""
    found = [f"{sign!r}" for sign in sorted(set(text.replace("\n", "")) & CONTROLS)]
    return found + [f"a line of {len(line)} characters" for line in text.split("\n") if len(line) > width]
