"""The figures of a report, each with its data beside it as a CSV. PNG, drawn without a display.

    pictures = draw_figures(comparison, slice_comparison(comparison))

Each figure is one entry in ``FIGURES``; what a comparison lacks for it is said on the page instead of drawn.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

from peftsum.comparison import Comparison
from peftsum.report.figures.base import STYLE, Part, Picture, data_file
from peftsum.report.figures.costs import COST_FILES, draw_costs
from peftsum.report.figures.errors import draw_errors, lacks_errors
from peftsum.report.figures.examples import draw_examples, lacks_examples
from peftsum.report.figures.heatmaps import draw_absolute, draw_improvement, lacks_improvement
from peftsum.report.figures.inference import draw_inference, lacks_inference
from peftsum.report.figures.lengths import draw_boxes, draw_scatter, lacks_lengths
from peftsum.report.figures.rouge import draw_rouge
from peftsum.report.figures.slices import (
    draw_dialogue_slices,
    draw_summary_slices,
    lacks_dialogue_slices,
    lacks_summary_slices,
)
from peftsum.slices import Slicing, slice_comparison

__all__ = ["FILES", "MissingFigure", "Picture", "draw_figures", "missing_figures"]


@dataclass(frozen=True)
class Figure:
    """One figure: where it stands, how it is drawn, and why it cannot be."""

    file: str
    part: Part
    what: str
    """What it would show, for the sentence that says why it is missing."""
    draw: Callable[[Comparison, Slicing], Picture]
    lacks: Callable[[Comparison, Slicing], str | None] = lambda *_: None
    """The reason why it cannot be drawn, or None."""


@dataclass(frozen=True)
class MissingFigure:
    """A figure that this comparison has no data for."""

    part: Part
    what: str
    reason: str


FIGURES = (
    Figure("rouge.png", "glance", "ROUGE by system", lambda c, _: draw_rouge(c)),
    Figure("scores.png", "scores", "the scores as a heat map", lambda c, _: draw_absolute(c)),
    Figure(
        "improvement.png",
        "scores",
        "the improvement over the untuned base",
        lambda c, _: draw_improvement(c),
        lambda c, _: lacks_improvement(c),
    ),
    Figure(
        "rouge_by_example.png",
        "scores",
        "ROUGE by example",
        lambda c, _: draw_examples(c),
        lambda c, _: lacks_examples(c),
    ),
    Figure("errors.png", "errors", "the error rates", lambda c, _: draw_errors(c), lambda c, _: lacks_errors(c)),
    Figure(
        "lengths.png",
        "errors",
        "the length of the summaries",
        lambda c, _: draw_boxes(c),
        lambda c, _: lacks_lengths(c),
    ),
    Figure(
        "lengths_scatter.png",
        "errors",
        "each summary's length against its reference",
        lambda c, _: draw_scatter(c),
        lambda c, _: lacks_lengths(c),
    ),
    Figure(
        "inference_time.png",
        "inference",
        "the time of a thousand summaries by how a model is held",
        lambda c, _: draw_inference(c),
        lambda c, _: lacks_inference(c),
    ),
    Figure(
        "slices_dialogues.png",
        "hard",
        "ROUGE-L by kind of dialogue",
        draw_dialogue_slices,
        lambda _, s: lacks_dialogue_slices(s),
    ),
    Figure(
        "slices_summaries.png",
        "hard",
        "ROUGE-L by how much was read and which turns are covered",
        draw_summary_slices,
        lambda _, s: lacks_summary_slices(s),
    ),
)
_PICTURES = (*(figure.file for figure in FIGURES), *COST_FILES)
FILES = (*_PICTURES, *map(data_file, _PICTURES))
"""Every file that figures can be written to."""


def draw_figures(comparison: Comparison, slicing: Slicing | None = None) -> list[Picture]:
    """Return the figures that the comparison has data for: ROUGE always, a cost where two systems have it.

    Args:
        comparison: what was measured.
        slicing: its slices; None makes them.
    """
    import matplotlib

    slicing = slicing or slice_comparison(comparison)
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # drawn as a box; the tables have the name
        drawn = [f.draw(comparison, slicing) for f in FIGURES if f.lacks(comparison, slicing) is None]
        return [drawn[0], *draw_costs(comparison), *drawn[1:]]


def missing_figures(comparison: Comparison, slicing: Slicing) -> list[MissingFigure]:
    """Return the figures that cannot be drawn, with the reason. Costs have a sentence of their own on the page."""
    reasons = [(figure, figure.lacks(comparison, slicing)) for figure in FIGURES]
    return [MissingFigure(figure.part, figure.what, reason) for figure, reason in reasons if reason is not None]
