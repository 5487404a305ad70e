"""What is kept of an evaluation's pictures: restored files for others to score again, crops and error maps for the report."""

import re
from pathlib import Path

from torch import Tensor

from pellucid import images
from pellucid.errors import DataError, ImageError
from pellucid.evaluation.cases import Case
from pellucid.evaluation.figures import Figures, Place
from pellucid.metrics import Protocol

__all__ = ["ReportPictures", "SavedPictures", "safe_name"]


class SavedPictures:
    """Files `FOLDER/DATA/CONDITION/MODEL/PHOTOGRAPH`; the clean ones are beside the models, as `clean`.

    PNG of 8 bits where the protocol rounds to them, else TIFF of 32-bit floats: scoring the files gives the same numbers.
    """

    def __init__(self, folder: Path, protocol: Protocol) -> None:
        self._folder = folder
        self._bits, self._suffix = (8, ".png") if protocol.quantisation == "8-bit" else (32, ".tif")

    def path(self, case: Case, model: str) -> Path:
        """Where the picture of a model lies."""
        parts = [safe_name(part) for part in (case.data, case.condition, model)]
        return self._folder.joinpath(*parts, Path(case.photograph).with_suffix(self._suffix))

    def has(self, case: Case, model: str) -> bool:
        """Whether the picture of a model is there."""
        return self.path(case, model).is_file()

    def keep(self, case: Case, model: str, restored: Tensor, degraded: Tensor, clean: Tensor) -> None:
        """Writes a restored picture, and the clean one where it is not there yet."""
        for name, image in ((model, restored), ("clean", clean)):
            path = self.path(case, name)
            if name == "clean" and path.is_file():
                continue
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DataError(f"{path.parent}: cannot be made ({error.strerror or error})") from error
            try:
                images.write(images.Photograph(image.clamp(0, 1), bits=self._bits), path)
            except ImageError as error:
                raise DataError(str(error)) from error


class ReportPictures:
    """The crops and error maps of the report."""

    def __init__(self, figures: Figures, protocol: Protocol) -> None:
        self._figures, self._protocol = figures, protocol.name

    def has(self, case: Case, model: str) -> bool:
        """Whether those of a model are there."""
        return self._figures.has(self._place(case), model)

    def keep(self, case: Case, model: str, restored: Tensor, degraded: Tensor, clean: Tensor) -> None:
        """Writes those of a model."""
        try:
            self._figures.save(self._place(case), model, restored, degraded=degraded, clean=clean)
        except ImageError as error:
            raise DataError(str(error)) from error

    def _place(self, case: Case) -> Place:
        return Place(case.data, case.condition, self._protocol, case.photograph)


def safe_name(name: str) -> str:
    """A name as one part of a path on every system."""
    return re.sub(r'[\\/:*?"<>|\x00-\x1f]+', "-", name).strip(" .-") or "-"
