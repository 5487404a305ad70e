"""What models are scored on: a published set by its name, a folder of clean photographs, or two folders of pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pellucid.data.benchmarks import find_benchmark, is_benchmark, pairs
from pellucid.data.folders import list_pairs, list_photographs
from pellucid.errors import SettingsError, unknown_name
from pellucid.evaluation.cases import PAIRS, Case, noisy_cases, paired_cases
from pellucid.metrics import Protocol, find_protocol

__all__ = ["TASK_PROTOCOLS", "TestSet", "find_set"]

TASK_PROTOCOLS: Mapping[str, str] = {
    "clean photographs": "gaussian-colour",
    "colour denoising": "gaussian-colour",
    "defocus deblurring": "defocus-rgb",
    "dehazing": "dehaze-rgb",
    "denoising": "gaussian-colour",
    "deraining": "derain-y",
    "grey JPEG artefacts": "jpeg-grey",
    "grey denoising": "gaussian-grey",
    "JPEG artefacts": "jpeg-rgb",
    "low light": "lowlight-rgb",
    "motion deblurring": "motion-deblur-rgb",
    "real denoising": "real-denoise-rgb",
    "super-resolution": "generative-y",
}
"""The protocol that a task's tables are made by, where nobody chose another."""


@dataclass(frozen=True)
class TestSet:
    """Photographs to score on.

    Attributes:
        name: of the set, or the folder as it was given.
        files: (degraded or None, clean).
        task: of the registry, or None for a folder.
    """

    name: str
    files: Sequence[tuple[Path | None, Path]]
    task: str | None = None

    @property
    def paired(self) -> bool:
        """Whether its photographs are degraded already."""
        return self.files[0][0] is not None

    def protocol(self, chosen: str | None = None) -> Protocol:
        """The protocol called `chosen`, or that of the task. Raises SettingsError for an unknown name."""
        usual = TASK_PROTOCOLS[self.task] if self.task else "pairs-rgb" if self.paired else "gaussian-colour"
        return find_protocol(chosen or usual)

    def cases(self, protocol: Protocol, sigmas: Sequence[float], seed: int) -> list[Case]:
        """What is to be restored.

        Raises:
            SettingsError: clean photographs without a level of noise, or a protocol that draws none.
        """
        if self.paired:
            return paired_cases(self.name, [(first, second) for first, second in self.files if first], protocol)
        if not sigmas:
            raise SettingsError(f"{self.name}: holds clean photographs; give --sigma (noise is added) or --degraded")
        return noisy_cases(self.name, [clean for _, clean in self.files], sigmas, protocol, seed)

    def conditions(self, sigmas: Sequence[float]) -> list[str]:
        """How its photographs are degraded, for each of the columns."""
        return [PAIRS] if self.paired else [f"noise sigma={sigma:g}" for sigma in sigmas]


def find_set(data: str, *, degraded: Path | None = None, task: str | None = None) -> TestSet:
    """The set of that name, or of that folder.

    Args:
        data: a published set's name, or a folder of clean photographs; a folder of such a name is given as `./name`.
        degraded: a folder of degraded photographs of the same names.
        task: what a folder is for (a key of `TASK_PROTOCOLS`); a published set knows.

    Raises:
        SettingsError: an unknown task.
        DataError: the folder is missing or empty, the set is incomplete or not what was published, or files have no
            partner.
    """
    if task is not None and task not in TASK_PROTOCOLS:
        raise SettingsError(unknown_name("task", task, TASK_PROTOCOLS))
    if degraded is not None:
        if is_benchmark(data) and not Path(data).is_dir():
            raise SettingsError(
                f"{data} is a published set, which has its own degraded photographs; --degraded goes with a folder"
            )
        return TestSet(data, list_pairs(degraded, Path(data)), task)
    if is_benchmark(data):
        benchmark = find_benchmark(data)
        return TestSet(benchmark.name, pairs(data), benchmark.task if task is None else task)
    return TestSet(data, [(None, path) for path in list_photographs(Path(data))], task)
