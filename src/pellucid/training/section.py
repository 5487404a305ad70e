"""What the sections of a recipe have in common."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Section", "Weight"]

Weight = Annotated[float, Field(gt=0)]
"""How often something is drawn, in proportion to the others."""


class Section(BaseModel):
    """A group of keys in a recipe; it stands in the file of what it sets. Keys that it does not name are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def as_tree(self, *, travelling: bool = False) -> dict[str, Any]:
        """The section in plain values, as YAML holds them, with every key.

        Args:
            travelling: for a file that others read: no path in it is absolute (see `places.as_written`).
        """
        return self.model_dump(mode="json", context={"travelling": travelling})
