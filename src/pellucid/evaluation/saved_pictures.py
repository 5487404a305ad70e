"""What an evaluation keeps of restored pictures: files for others to score again."""

import hashlib
import json
import re
from contextlib import suppress
from pathlib import Path

from torch import Tensor

from pellucid import images
from pellucid.errors import DataError, ImageError
from pellucid.evaluation.cases import Case
from pellucid.metrics import Protocol

__all__ = ["PictureKeys", "SavedPictures", "safe_name"]


class PictureKeys:
    """Which row each kept file belongs to, in a file beside them: what another made is not taken for it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "keys.jsonl"
        self._known: dict[str, str] = {}
        lines = self._path.read_bytes().splitlines() if self._path.is_file() else []
        for line in lines:
            with suppress(ValueError, TypeError, RecursionError):
                name, key = json.loads(line)
                self._known[name] = key

    def get(self, name: str) -> str | None:
        """The key that a file was kept under, or None."""
        return self._known.get(name)

    def set(self, name: str, key: str) -> None:
        """Notes the key that a file is kept under."""
        if self._known.get(name) == key:
            return
        with self._path.open("a", encoding="ascii") as file:
            file.write(json.dumps([name, key]) + "\n")
        self._known[name] = key


class SavedPictures:
    """Files `FOLDER/DATA/CONDITION/PROTOCOL/MODEL/PHOTOGRAPH`; the clean ones are beside the models, as `clean`.

    PNG of 8 bits where the protocol rounds to them, else TIFF of 32-bit floats: scoring the files gives the same
    numbers.
    """

    def __init__(self, folder: Path, protocol: Protocol) -> None:
        self._folder, self._protocol = folder, protocol.name
        self._bits, self._suffix = (8, ".png") if protocol.quantisation == "8-bit" else (32, ".tif")
        self._keys = PictureKeys(folder)

    def has(self, case: Case, model: str, key: str | None) -> bool:
        """Whether the picture of a model is there, and belongs to the row of this key."""
        path = self._path(case, model)
        return key is not None and self._keys.get(self._name(path)) == key and path.is_file()

    def keep(self, case: Case, model: str, key: str | None, restored: Tensor, degraded: Tensor, clean: Tensor) -> None:
        """Writes a restored picture, and the clean one beside it."""
        for name, image in ((model, restored), ("clean", clean)):
            path = self._path(case, name)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                grey = bool((image == image[:, :1]).all())
                images.write(images.Photograph(image.clamp(0, 1), grey=grey, bits=self._bits), path)
                self._keys.set(self._name(path), key or "")
            except OSError as error:
                raise DataError(f"{path.parent}: cannot be written ({error.strerror or error})") from error
            except ImageError as error:
                raise DataError(str(error)) from error

    def _path(self, case: Case, model: str) -> Path:
        parts = [safe_name(part) for part in (case.data, case.condition, self._protocol, model)]
        return self._folder.joinpath(*parts, Path(case.photograph).with_suffix(self._suffix))

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()


def safe_name(name: str) -> str:
    """A name as one part of a path on every system; no two names become one."""
    plain = re.sub(r'[\\/:*?"<>|\x00-\x1f]+', "-", name).strip(" .-") or "-"
    return (
        plain if plain == name else f"{plain}-{hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:6]}"
    )
