"""peftsum: the cheapest fine-tune of Flan-T5 for dialogue summaries that is good enough.

    from peftsum import load_recipe, train, evaluate, score, compare, plan, Summarizer

The functions mirror the commands. They are imported when first used, so that ``peftsum --help`` stays quick.
"""

from __future__ import annotations

import importlib
import logging
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from peftsum.version import __version__

if TYPE_CHECKING:
    from peftsum.arithmetic import combine
    from peftsum.compare import compare
    from peftsum.confidence import calibrate
    from peftsum.evaluate import evaluate, score
    from peftsum.exceptions import PeftsumError
    from peftsum.few_shot import make_prompt
    from peftsum.forecast.plan import plan
    from peftsum.generate import Summarizer
    from peftsum.merge import merge
    from peftsum.prompt_study import study_prompts
    from peftsum.recipe_file import load_recipe
    from peftsum.report import write_report
    from peftsum.sweep import sweep
    from peftsum.train import train

__all__ = [
    "PeftsumError",
    "Summarizer",
    "__version__",
    "calibrate",
    "combine",
    "compare",
    "evaluate",
    "load_recipe",
    "make_prompt",
    "merge",
    "plan",
    "score",
    "study_prompts",
    "sweep",
    "train",
    "write_report",
]

_HOMES = {
    "PeftsumError": "peftsum.exceptions",
    "Summarizer": "peftsum.generate",
    "calibrate": "peftsum.confidence",
    "combine": "peftsum.arithmetic",
    "compare": "peftsum.compare",
    "evaluate": "peftsum.evaluate",
    "load_recipe": "peftsum.recipe_file",
    "make_prompt": "peftsum.few_shot",
    "merge": "peftsum.merge",
    "plan": "peftsum.forecast.plan",
    "score": "peftsum.evaluate",
    "study_prompts": "peftsum.prompt_study",
    "sweep": "peftsum.sweep",
    "train": "peftsum.train",
    "write_report": "peftsum.report",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'peftsum' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


# On a CPU with AVX512-BF16 bitsandbytes tells of an optional download for NF4 at each import: not an error, and no
# help without a network.
logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(
    lambda record: "kernels-community" not in record.getMessage()
)


class _Package(ModuleType):
    """Keeps ``peftsum.train`` the function.

    Importing the submodule of that name would put the module in its place: the import system assigns every submodule
    it loads to its parent.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name in _HOMES and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
