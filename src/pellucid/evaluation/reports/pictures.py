"""The crops and error maps of a report, kept while an evaluation runs."""

from torch import Tensor

from pellucid.errors import DataError, ImageError
from pellucid.evaluation.cases import Case
from pellucid.evaluation.reports.figures import FigurePlace, Figures
from pellucid.evaluation.saved_pictures import PictureKeys
from pellucid.metrics import Protocol

__all__ = ["ReportPictures"]


class ReportPictures:
    """The crops and error maps of the report.

    Args:
        figures: where they go.
        protocol: how the numbers beside them are made.
        by_clean: choose crops by the clean picture alone, where there is no one degraded picture that all have
            restored.
    """

    def __init__(self, figures: Figures, protocol: Protocol, *, by_clean: bool = False) -> None:
        self._figures, self._protocol, self._by_clean = figures, protocol.name, by_clean
        self._keys = PictureKeys(figures.folder)

    def has(self, case: Case, model: str, key: str | None) -> bool:
        """Whether those of a model are there, and belong to the row of this key."""
        place = self._place(case)
        return key is not None and self._keys.get(self._name(place, model)) == key and self._figures.has(place, model)

    def keep(self, case: Case, model: str, key: str | None, restored: Tensor, degraded: Tensor, clean: Tensor) -> None:
        """Writes those of a model."""
        place = self._place(case)
        try:
            self._figures.save(place, model, restored, degraded=clean if self._by_clean else degraded, clean=clean)
            self._keys.set(self._name(place, model), key or "")
        except (ImageError, OSError) as error:
            raise DataError(str(error)) from error

    def _place(self, case: Case) -> FigurePlace:
        return FigurePlace(case.data, case.condition, self._protocol, case.photograph)

    def _name(self, place: FigurePlace, model: str) -> str:
        return self._figures.path(place, model, "zoom").name
