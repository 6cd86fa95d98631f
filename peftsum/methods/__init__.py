"""The ways to tune a base: one file a method, one entry in ``METHODS`` and one member of ``Method``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from peftsum.methods.base import MethodSection
from peftsum.methods.full import Full
from peftsum.methods.ia3 import Ia3
from peftsum.methods.lora import Lora
from peftsum.registry import Registry

METHODS: Registry[type[MethodSection]] = Registry("method", {"full": Full, "lora": Lora, "ia3": Ia3})

Method = Annotated[Full | Lora | Ia3, Field(discriminator="kind")]

__all__ = ["METHODS", "Full", "Ia3", "Lora", "Method", "MethodSection"]
