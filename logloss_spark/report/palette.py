"""The colours of plots, by what they mean. No plot names a colour of its own."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Palette:
    """Colours by their meaning, each `#rrggbb`.

    Attributes
    ----------
    page : the background
    ink : text that is read
    soft : axes, ticks, lines of reference
    faint : areas without a message, such as a range that calibrated forecasts would keep to
    first, second : the two colours of data: the estimate, the reference or the other class
    good, bad : better and worse than something
    """

    page: str
    ink: str
    soft: str
    faint: str
    first: str
    second: str
    good: str
    bad: str


# Okabe and Ito's colours, darkened or lightened until each has a contrast of 3 with the page (text: 4.5).
LIGHT = Palette(
    page="#ffffff",
    ink="#1a1a1a",
    soft="#6b6b6b",
    faint="#d9d9d9",
    first="#0064a8",
    second="#c05000",
    good="#007a5a",
    bad="#b3261e",
)
DARK = Palette(
    page="#16181b",
    ink="#ececec",
    soft="#9e9e9e",
    faint="#3d4147",
    first="#6cb6f5",
    second="#f0a050",
    good="#4cc9a0",
    bad="#ff8a80",
)
