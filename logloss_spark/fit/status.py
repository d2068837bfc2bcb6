"""Why a fit ended."""

from enum import StrEnum


class Status(StrEnum):
    """Why a fit ended: a word for programs, with a sentence for people.

    Examples
    --------
    >>> Status("max_iter") == "max_iter", Status.MAX_ITER.converged
    (True, False)
    >>> print(Status.MAX_ITER.sentence)
    NOT converged: max_iter was reached
    """

    sentence: str

    GRADIENT = "gradient", "converged"
    OBJECTIVE = "objective", "converged: no step changes the objective by more than rounding"
    VALIDATION = "validation", "stopped early: an earlier iteration had a smaller loss on the validation rows"
    MAX_ITER = "max_iter", "NOT converged: max_iter was reached"
    LINE_SEARCH = "line_search", "NOT converged: no step along the last direction made the objective smaller"
    SEPARATED = "separated", "NOT converged: the classes are separated, so the loss has no minimum"

    def __new__(cls, word: str, sentence: str) -> "Status":
        """A member that is its word, and knows its sentence."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.sentence = sentence
        return member

    @property
    def optimal(self) -> bool:
        """Whether the fit ended at an optimum of the objective."""
        return self in (Status.GRADIENT, Status.OBJECTIVE)

    @property
    def converged(self) -> bool:
        """Whether the fit ended as it should: at an optimum, or because the validation rows said so."""
        return self.optimal or self is Status.VALIDATION
