"""Why a fit ended, in words for programs and for people. No Spark."""

import json

import pytest

from logloss_spark.fit.status import Status


def test_a_status_is_its_word_wherever_it_goes() -> None:
    assert [str(status) for status in Status] == [
        "gradient",
        "objective",
        "validation",
        "max_iter",
        "line_search",
        "separated",
    ]
    assert Status("gradient") is Status.GRADIENT
    assert Status.GRADIENT == "gradient"
    assert json.dumps(Status.GRADIENT) == '"gradient"'


@pytest.mark.parametrize("status", list(Status))
def test_a_sentence_says_whether_the_fit_converged(status) -> None:
    assert status.converged == (not status.sentence.startswith("NOT converged"))
    assert status.optimal == status.sentence.startswith("converged")
