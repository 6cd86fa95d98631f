"""The pydantic bases: recipe sections that cannot be wrong quietly, and records that are written to disk."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of a recipe: frozen, unknown keys refused, the doc under a field is its reference."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=True,
        strict=True,  # `rank: yes` is True in YAML, and would be rank 1
        allow_inf_nan=False,
    )


class Record(BaseModel):
    """A typed JSON document that commands write and read back; unknown keys of newer versions are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)
