"""Many LoRA adapters of one base resident at once, for batches whose rows have adapters of their own.

| what | module |
|---|---|
| an adapter folder's factors, checked against the base, or why they cannot be stacked | ``factors`` |
| the factors of all residents, stacked by layer; least recently used ones leave under a byte budget | ``residents`` |
| which rows of a batch go with which stacked factors | ``rows`` |
"""

from peftsum.bank.factors import LayerFactors, not_stackable, read_factors
from peftsum.bank.residents import AdapterBank
from peftsum.bank.rows import RowGroups, SharedInput, StackedFactors

__all__ = ["AdapterBank", "LayerFactors", "RowGroups", "SharedInput", "StackedFactors", "not_stackable", "read_factors"]
