"""Many LoRA adapters of one base resident at once, for batches whose rows have adapters of their own.

| what | module |
|---|---|
| an adapter folder's factors, checked against the base, or why they cannot be stacked | ``factors`` |
| the factors of all residents, stacked by layer; least recently used ones leave under a byte budget | ``residents`` |
| weighted sums of updates, exact or cut to a rank | ``sums`` |
| which rows of a batch go with which stacked factors | ``rows`` |
"""

from peftsum.bank.factors import LayerFactors, not_stackable, read_factors
from peftsum.bank.residents import AdapterBank
from peftsum.bank.rows import EachRow, RowGroups, SharedInput, StackedFactors
from peftsum.bank.sums import Cut, add_updates

__all__ = [
    "AdapterBank",
    "Cut",
    "EachRow",
    "LayerFactors",
    "RowGroups",
    "SharedInput",
    "StackedFactors",
    "add_updates",
    "not_stackable",
    "read_factors",
]
