"""The demo's pictures: what `.plot` draws of the flights, in the colours of a light and of a dark page.

They are drawn from the tables of the steps before, into `build/demo/pictures`. Those that README and the documentation
show lie in `docs/_static/plots`; copy new ones there when a plot has changed.

    python docs/demo/pictures.py [folder]
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes

import logloss_spark as ls
from logloss_spark.report import plots
from logloss_spark.report.palette import DARK, LIGHT, Palette

FOLDER = "build/demo"
MODELS = {"forecast": "probability", "fitted": "fitted"}

SETTINGS = {
    "svg.fonttype": "none",  # letters stay letters: a third of the bytes, and they can be searched
    "svg.hashsalt": "logloss_spark",  # the same flights give the same bytes
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
}

Draw = Callable[..., Axes]


def draw(folder: Path, pictures: Mapping[str, Draw]) -> None:
    """Write each picture twice, for a light and for a dark page."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, plot in pictures.items():
        for theme, palette in (("light", LIGHT), ("dark", DARK)):
            write(folder / f"{name}-{theme}.svg", plot, palette)


def write(path: Path, plot: Draw, palette: Palette) -> None:
    """Write a picture as SVG without the time at which it was made."""
    with matplotlib.rc_context(SETTINGS):
        plot(palette=palette).figure.savefig(path, metadata={"Date": None, "Creator": None})
    text = path.read_text(encoding="utf-8")
    path.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n", encoding="utf-8")


def main(folder: str) -> None:
    """Draw the pictures of the demo in `folder`."""
    ls.session()
    scored, model = f"{folder}/scored", ls.LogisticModel.load(f"{folder}/model")
    by = [["carrier"], ["origin"], ["carrier", "origin"]]
    evaluation = ls.evaluate(scored, "late", "fitted", cluster="date", by=by)
    by_date = ls.evaluate(scored, "late", "fitted", by="date").to_pandas()
    comparison = ls.compare(scored, label="late", predictions=MODELS, baseline="forecast", cluster="date", by="carrier")
    state = ls.evaluate(scored, "late", "probability", by="month").state
    moved = ls.drift(state.where("month = 11"), state.where("month = 12"))
    metrics, cells, residuals = evaluation.to_pandas(), evaluation.plot.cells(), evaluation.plot.residuals()
    compared = comparison.to_pandas()
    draw(
        Path(folder) / "pictures",
        {
            "reliability": lambda **colours: plots.reliability(cells, residuals=residuals, **colours),
            "scores": lambda **colours: plots.scores(cells, **colours),
            "ranking": lambda **colours: plots.ranking(cells, metrics=metrics.iloc[0], **colours),
            "slices": lambda **colours: plots.slices(metrics, **colours),
            "over": lambda **colours: plots.over(by_date, "date", **colours),
            "decomposition": lambda **colours: plots.decomposition(metrics, **colours),
            "differences": lambda **colours: plots.differences(compared, **colours),
            "drift": lambda **colours: plots.drift(moved.plot.cells(), **colours),
            "coefficients": lambda **colours: plots.coefficients(model.table, **colours),
        },
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else FOLDER)
