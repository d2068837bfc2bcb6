"""What results share that have a report of their own: they write it as one HTML file."""

from abc import ABC, abstractmethod

from logloss_spark.report.html import check_libraries, write_report
from logloss_spark.report.page import InReport, Page, page_with


class Reported(ABC):
    """The base of what has a report of its own."""

    @abstractmethod
    def report_page(self) -> Page:
        """Return what its report shows."""

    def to_html(self, path: str, *others: InReport) -> None:
        """Write a report as one HTML file that needs no network, in the place of an older one.

        It is made of what this object has: no row is read again. The same object gives the same bytes.

        Parameters
        ----------
        path : str
            A file of this machine, or of a store that Arrow knows, as in `s3://bucket/report.html`.
        others :
            A `Drift`, a `Comparison`, a `Calibrator` and a `LogisticModel` that the report shows, too; one of each.

        Raises
        ------
        SpecError
            A library of the extra `report` is missing, one of `others` is nothing that a report shows, or the file
            cannot be written there.
        """
        check_libraries()
        write_report(path, page_with(self.report_page(), others))
