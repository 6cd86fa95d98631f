"""What a training minimises, as a recipe says it: the references alone, or a teacher's distributions beside them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from peftsum.registry import Registry
from peftsum.section import Section


class Plain(Section):
    """Cross-entropy against the references."""

    kind: Literal["plain"] = "plain"


class Distill(Section):
    """Cross-entropy and, beside it, the distance to what a fully tuned teacher expects (Hinton et al. 2015).

    The loss of a position is ``(1 - weight) CE + weight T² KL(teacher || student)``, both distributions at temperature
    T. The teacher runs forward only, a third to a half of an adapter's step more, and its weights lie in memory.
    """

    kind: Literal["distill"] = "distill"
    teacher: str
    """The run of a full fine-tune, a model folder or a Hub id, with the base's vocabulary."""
    weight: float = Field(0.5, gt=0, le=1)
    """Share of the teacher in the loss; 1 leaves the references out."""
    temperature: float = Field(1.0, gt=0)
    """Above 1 the teacher's unlikely words count for more."""


OBJECTIVES: Registry[type[Section]] = Registry("objective", {"plain": Plain, "distill": Distill})

Objective = Annotated[Plain | Distill, Field(discriminator="kind")]
