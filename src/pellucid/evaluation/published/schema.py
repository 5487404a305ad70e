"""What a file of a published table may say, and what must agree in it."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pellucid.data.benchmarks import find_benchmark
from pellucid.errors import SettingsError, unknown_name

__all__ = ["PROTOCOL_NAMES", "MetricName", "PublishedColumn", "PublishedRow", "PublishedSource", "PublishedTable"]

# The keys of pellucid.metrics.PROTOCOLS, which is not imported since that loads torch; a test holds the two equal.
PROTOCOL_NAMES = (
    "all-in-one",
    "defocus-rgb",
    "dehaze-rgb",
    "dehaze-rgb-pooled-ssim",
    "derain-y",
    "derain-y-rounded",
    "gaussian-colour",
    "gaussian-colour-8bit",
    "gaussian-grey",
    "gaussian-grey-8bit",
    "generative-y",
    "jpeg-grey",
    "jpeg-rgb",
    "lowlight-rgb",
    "lowlight-rgb-aligned",
    "motion-deblur-rgb",
    "pairs-rgb",
    "real-denoise-rgb",
    "super-resolution-y-x2",
    "super-resolution-y-x3",
    "super-resolution-y-x4",
    "synthetic-grey",
    "synthetic-rgb",
)

MetricName = Literal["psnr", "ssim", "lpips"]
Text = Annotated[str, Field(min_length=1)]
Values = tuple[Annotated[float, Field(strict=True)] | None, ...]

# What a number can be at all: a misplaced decimal point, or SSIM in the place of PSNR, lies outside.
_PLAUSIBLE: dict[MetricName, tuple[float, float]] = {"psnr": (5, 60), "ssim": (0, 1), "lpips": (0, 1)}

_NOISE = re.compile(r"noise sigma=\d+(\.\d+)?")


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PublishedSource(_Entry):
    """Where the numbers stand, and where they were read."""

    paper: Text
    arxiv: Annotated[str, Field(pattern=r"^\d{4}\.\d{4,5}$")] | None = None
    table: Text | None = None
    """Its number as printed; None where it is not known."""
    read_in: Text
    """What was read: a copy of the paper, or another text that repeats its numbers."""

    def __str__(self) -> str:
        """A short reference: the paper, its arXiv number and the table's."""
        where = f" (arXiv {self.arxiv})" if self.arxiv else ""
        return f"{self.paper}{where}" + (f", table {self.table}" if self.table else "")


class PublishedColumn(_Entry):
    """What the numbers below one another were measured on, and how."""

    title: Text | None = None
    """As printed; needed where `data` is None."""
    data: str | None = None
    """The set's name in `pellucid.data.benchmarks`; None for one that is not there."""
    condition: Text = "pairs"
    """`pairs`, `noise sigma=N`, or in words what neither of these is."""
    part: Text | None = None
    """Which part of the set, where it is not the whole."""
    protocol: str | None = None
    """A name of `pellucid.metrics.PROTOCOLS`; None where no such protocol makes these numbers."""
    protocol_note: Text | None = None
    """Why there is none."""

    @field_validator("data")
    @classmethod
    def _known_data(cls, data: str | None) -> str | None:
        if data is not None:
            try:
                record = find_benchmark(data)
            except SettingsError as error:
                raise ValueError(str(error)) from None
            if record.name != data:
                raise ValueError(f"write {data!r} by its name, {record.name!r}")
        return data

    @field_validator("protocol")
    @classmethod
    def _known_protocol(cls, protocol: str | None) -> str | None:
        if protocol is not None and protocol not in PROTOCOL_NAMES:
            raise ValueError(unknown_name("protocol", protocol, PROTOCOL_NAMES))
        return protocol

    @model_validator(mode="after")
    def _says_enough(self) -> Self:
        if not (self.data or self.title):
            raise ValueError("a column without `data` needs a `title`")
        if (self.protocol is None) != (self.protocol_note is not None):
            raise ValueError("a column has either a `protocol` or a `protocol_note` that says why not")
        if self.data and self.measurable and (self.condition == "pairs") != find_benchmark(self.data).paired:
            holds = "pairs" if find_benchmark(self.data).paired else "clean pictures only"
            raise ValueError(f"the condition {self.condition!r} does not fit {self.data}, which holds {holds}")
        return self

    @property
    def measurable(self) -> bool:
        """Whether the condition is one that pellucid can set up."""
        return self.condition == "pairs" or _NOISE.fullmatch(self.condition) is not None

    @property
    def runnable(self) -> bool:
        """Whether pellucid can fill the column: it knows the whole set, the condition and the protocol."""
        return self.data is not None and self.part is None and self.protocol is not None and self.measurable


class PublishedRow(_Entry):
    """One model across the columns."""

    model: Text
    values: tuple[Values, ...]
    """For each column, for each metric of the table: the number as printed, or None where there is none."""
    group: Text | None = None
    """The rows among which it stands, where a table has several blocks."""
    base: str | None = None
    """The row of the same group, by its `model`, that this one is a boosted form of."""
    average: Values | None = None
    """The printed mean over the columns, for each metric."""
    added_parameters: Annotated[float, Field(ge=0)] | None = None
    """Parameters beyond those of the base, in millions, as printed."""
    note: Text | None = None
    """Misprints, contradictions and what other sources print."""

    @property
    def label(self) -> str:
        """The model, with its group in brackets; unique in a table."""
        return f"{self.model} ({self.group})" if self.group else self.model


class PublishedTable(_Entry):
    """A published table. In its file, `protocol`, `protocol_note` and `condition` may be said once for all columns."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)+$")]
    title: Text
    source: PublishedSource
    metrics: Annotated[tuple[MetricName, ...], Field(min_length=1)]
    columns: Annotated[tuple[PublishedColumn, ...], Field(min_length=1)]
    rows: Annotated[tuple[PublishedRow, ...], Field(min_length=1)]
    notes: Text | None = None
    missing: Text | None = None
    """What the printed table has that the file has not; None where it is complete."""

    @model_validator(mode="before")
    @classmethod
    def _spread(cls, tree: Any) -> Any:
        """Hands what is said once to the columns that do not say it themselves."""
        if not isinstance(tree, dict) or not isinstance(tree.get("columns"), list):
            return tree
        tree = dict(tree)
        shared = {key: tree.pop(key) for key in ("protocol", "protocol_note", "condition") if key in tree}
        tree["columns"] = [
            {**_without_the_other(shared, column), **column} if isinstance(column, dict) else column
            for column in tree["columns"]
        ]
        return tree

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        places = [(column.title, column.data, column.condition, column.part) for column in self.columns]
        if len(set(places)) < len(places):
            raise ValueError("columns: two columns are the same")
        labels = [row.label for row in self.rows]
        for index, row in enumerate(self.rows):
            try:
                self._check(row)
            except ValueError as error:
                raise ValueError(f"rows.{index} ({row.label}): {error}") from None
            if labels.index(row.label) < index:
                raise ValueError(f"rows.{index}: a second row for {row.label}")
        return self

    def _check(self, row: PublishedRow) -> None:
        if len(row.values) != len(self.columns):
            raise ValueError(f"{len(row.values)} values for {len(self.columns)} columns")
        for values in (*row.values, *([row.average] if row.average else [])):
            if len(values) != len(self.metrics):
                raise ValueError(f"{list(values)} does not hold one number for each of {', '.join(self.metrics)}")
            for metric, value in zip(self.metrics, values, strict=True):
                low, high = _PLAUSIBLE[metric]
                if value is not None and not low <= value <= high:
                    raise ValueError(f"{value:g} cannot be a {metric}, which lies between {low:g} and {high:g}")
        if row.base is not None:
            self.base_of(row)

    def base_of(self, row: PublishedRow) -> PublishedRow | None:
        """The row that `row` is a boosted form of, if it is one. Raises ValueError where the table lacks it."""
        if row.base is None:
            return None
        for other in self.rows:
            if (other.model, other.group) == (row.base, row.group):
                return other
        raise ValueError(f"its base {row.base!r} is not a row of its group")


def _without_the_other(shared: dict[str, Any], column: dict[str, Any]) -> dict[str, Any]:
    """A column that says why it has no protocol does not take the shared one, and the other way round."""
    other = {"protocol": "protocol_note", "protocol_note": "protocol"}
    return {key: value for key, value in shared.items() if other.get(key) not in column}
