"""Where to put the name of each point so that names cover neither one another nor the points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Boxes = NDArray[np.float64]  # (boxes, 4): x0, y0, x1, y1

GAPS = (9.0, 16.0, 26.0, 40.0, 60.0, 90.0, 130.0)  # pixels between the point and the name, left or right of it
STEPS = 30  # how many half heights a name may lie above or below its point
PASSES = 6  # a name placed early may get a better place once the others have theirs
TOUCH = 10_000.0  # dearer than the longest way: a name goes further off before it touches anything
ROUNDING = 1e-6  # square pixels


class Box(NamedTuple):
    """A rectangle in pixels."""

    x0: float
    y0: float
    x1: float
    y1: float

    def overlap(self, other: Box) -> float:
        """Return the area both cover, in square pixels."""
        width = min(self.x1, other.x1) - max(self.x0, other.x0)
        height = min(self.y1, other.y1) - max(self.y0, other.y0)
        return max(0.0, width) * max(0.0, height)

    def area(self) -> float:
        """Return its area in square pixels."""
        return (self.x1 - self.x0) * (self.y1 - self.y0)


def place_labels(
    anchors: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    *,
    solid: Sequence[Box],
    light: Sequence[Box] = (),
    bounds: Box,
) -> list[Box]:
    """Return a box for each label, near its anchor and clear of the rest as far as there is room.

    Each label in turn takes the cheapest of a fixed set of places, a few times over. Names are wide and flat, so the
    places stack them in columns beside the points rather than in a ring.

    Args:
        anchors: the points, in pixels.
        sizes: width and height of each label, in pixels.
        solid: what a label must not cover, such as markers.
        light: what it should rather not cover, such as error bars.
        bounds: the area labels must stay in.
    """
    choices = [_candidates(anchor, size) for anchor, size in zip(anchors, sizes, strict=True)]
    fixed = [
        _fixed_penalty(places, anchor, solid, light, bounds) for places, anchor in zip(choices, anchors, strict=True)
    ]
    chosen: dict[int, Box] = {}
    for _ in range(PASSES):
        before = dict(chosen)
        for i, places in enumerate(choices):
            others = [box for j, box in chosen.items() if j != i]
            best = int((fixed[i] + _hiding(_covered(places, others))).argmin())
            chosen[i] = Box(*places[best].tolist())
        if chosen == before:
            break
    return [chosen[i] for i in range(len(anchors))]


def _candidates(anchor: tuple[float, float], size: tuple[float, float]) -> Boxes:
    import numpy as np

    x, y = anchor
    width, height = size
    lowers = [y + (step - STEPS) * height / 2 - height / 2 for step in range(2 * STEPS + 1)]
    beside = [(left, lower) for gap in GAPS for left in (x + gap, x - gap - width) for lower in lowers]
    shifts = (-0.5, -0.25, -0.75, 0.0, -1.0)  # of the width: above and below, first in the middle
    over = [(x + s * width, lower) for gap in GAPS for lower in (y + gap, y - gap - height) for s in shifts]
    corners = np.asarray([*beside, *over])
    return np.hstack([corners, corners + np.asarray([width, height])])


def _fixed_penalty(
    places: Boxes, anchor: tuple[float, float], solid: Sequence[Box], light: Sequence[Box], bounds: Box
) -> NDArray[np.float64]:
    import numpy as np

    point = np.asarray(anchor)
    nearest = np.clip(point, places[:, :2], places[:, 2:])  # the place's point nearest to the anchor
    distance = np.linalg.norm(nearest - point, axis=1)
    area = (places[:, 2] - places[:, 0]) * (places[:, 3] - places[:, 1])
    outside = area - _covered(places, [bounds])
    total = 1000 * outside + _hiding(_covered(places, solid)) + 3 * _covered(places, light) + distance**1.5
    return np.asarray(total, dtype=np.float64)


def _covered(places: Boxes, others: Sequence[Box]) -> NDArray[np.float64]:
    """Return for each place the area that the others cover of it, in square pixels."""
    import numpy as np

    table = np.asarray(others, dtype=np.float64).reshape(-1, 4)
    low = np.maximum(places[:, None, :2], table[None, :, :2])
    high = np.minimum(places[:, None, 2:], table[None, :, 2:])  # (places, others, 2)
    return np.asarray(np.clip(high - low, 0.0, None).prod(axis=2).sum(axis=1), dtype=np.float64)


def _hiding(covered: NDArray[np.float64]) -> NDArray[np.float64]:
    return (covered > ROUNDING) * TOUCH + 100 * covered
