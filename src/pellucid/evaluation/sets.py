"""What models are scored on: a published set by its name, a folder of clean photographs, or two folders of pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pellucid.data.benchmarks import benchmarks, find_benchmark, is_benchmark, pairs
from pellucid.data.folders import list_pairs, list_photographs
from pellucid.errors import SettingsError, unknown_name
from pellucid.evaluation.cases import PAIRS, Case, condition_of, degraded_cases, noisy_cases, paired_cases
from pellucid.metrics import PROTOCOLS, Protocol, find_protocol

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
        scale: how many times longer the sides of the clean photographs are.
    """

    name: str
    files: Sequence[tuple[Path | None, Path]]
    task: str | None = None
    scale: int = 1

    @property
    def paired(self) -> bool:
        """Whether its photographs are degraded already."""
        return self.files[0][0] is not None

    def protocol(self, chosen: str | None = None, *, synthetic: bool = False) -> Protocol:
        """The protocol called `chosen`, or that of the task. Raises SettingsError for an unknown name.

        Args:
            chosen: its name.
            synthetic: its clean photographs are degraded as texts say.
        """
        if synthetic and not self.paired:
            usual = "synthetic-grey" if self.task and "grey" in self.task else "synthetic-rgb"
        else:
            usual = self._of_task(self.task) if self.task else "pairs-rgb" if self.paired else "gaussian-colour"
        return find_protocol(chosen or usual)

    def _of_task(self, task: str) -> str:
        """The protocol of a task's tables; of super-resolution each scale has its own."""
        exact = f"super-resolution-y-x{self.scale}"
        return exact if task == "super-resolution" and exact in PROTOCOLS else TASK_PROTOCOLS[task]

    def ways(self, sigmas: Sequence[float], degradations: Sequence[str]) -> list[tuple[Sequence[float], Sequence[str]]]:
        """Levels of noise and degradations apart, as `cases` takes them: each are scored by a protocol of their own."""
        if self.paired or not degradations:
            return [(sigmas, ())]
        return [*([(sigmas, ())] if sigmas else []), ((), degradations)]

    def cases(
        self, protocol: Protocol, sigmas: Sequence[float], seed: int, degradations: Sequence[str] = ()
    ) -> list[Case]:
        """What is to be restored.

        Args:
            protocol: how it is scored.
            sigmas: levels of noise as the tables draw it, for clean photographs.
            seed: of all that is drawn.
            degradations: instead, what is done to clean photographs, as texts.

        Raises:
            SettingsError: clean photographs without a way to degrade them or with both, a text that does not parse, or
                a protocol that is not for this.
        """
        if self.paired:
            return paired_cases(self.name, [(first, second) for first, second in self.files if first], protocol)
        paths = [clean for _, clean in self.files]
        if sigmas and degradations:
            raise SettingsError(f"{self.name}: levels of noise and degradations are scored by different protocols")
        if degradations:
            return degraded_cases(self.name, paths, degradations, protocol, seed)
        if not sigmas:
            raise SettingsError(
                f"{self.name}: holds clean photographs; give --sigma (noise is added), --with (any degradation) or "
                "--degraded"
            )
        if protocol.synthetic:
            raise SettingsError(
                f'the protocol {protocol.name} takes degradations as texts: give --with "noise sigma=25" instead of '
                "--sigma 25"
            )
        return noisy_cases(self.name, paths, sigmas, protocol, seed)

    def conditions(self, sigmas: Sequence[float], degradations: Sequence[str] = ()) -> list[str]:
        """How its photographs are degraded, for each of the columns."""
        if self.paired:
            return [PAIRS]
        return [*(f"noise sigma={sigma:g}" for sigma in sigmas), *dict.fromkeys(map(condition_of, degradations))]


def find_set(data: str, *, degraded: Path | None = None, task: str | None = None, scale: int | None = None) -> TestSet:
    """The set of that name, or of that folder.

    Args:
        data: a published set's name, or a folder of clean photographs; a folder of such a name is given as `./name`.
        degraded: a folder of degraded photographs of the same names.
        task: what a folder is for (a key of `TASK_PROTOCOLS`); a published set knows.
        scale: of a published set that there is at several, as `set5` is `set5_x2` and `set5_x4`; or of the pairs of
            folders, how many times longer the sides of the clean photographs are.

    Raises:
        SettingsError: an unknown task.
        DataError: the folder is missing or empty, the set is incomplete or not what was published, or files have no
            partner.
    """
    if task is not None and task not in TASK_PROTOCOLS:
        raise SettingsError(unknown_name("task", task, TASK_PROTOCOLS))
    if scale is not None and degraded is None:
        data = _of_scale(data, scale)
    if degraded is not None:
        if is_benchmark(data) and not Path(data).is_dir():
            raise SettingsError(
                f"{data} is a published set, which has its own degraded photographs; --degraded goes with a folder"
            )
        return TestSet(data, list_pairs(degraded, Path(data)), task, scale or 1)
    if is_benchmark(data):
        benchmark = find_benchmark(data)
        return TestSet(benchmark.name, pairs(data), benchmark.task if task is None else task, benchmark.scale)
    return TestSet(data, [(None, path) for path in list_photographs(Path(data))], task)


def _of_scale(data: str, scale: int) -> str:
    """The name of a published set of that scale."""
    name = f"{data}_x{scale}"
    if is_benchmark(name):
        return name
    if is_benchmark(data) and find_benchmark(data).scale == scale:
        return data
    known = [one for one, record in benchmarks().items() if record.scale != 1]
    raise SettingsError(f"{data} of scale {scale}: no such published set; there are {', '.join(known)}")
