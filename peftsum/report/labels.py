"""Where to put the name of each point so that names cover neither one another nor the points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

DISTANCES = (9.0, 16.0, 26.0, 40.0, 58.0, 80.0, 110.0, 145.0, 190.0)  # pixels from the point to the name's edge
ANGLES = 16
PASSES = 4  # a name placed early may get a better place once the others have theirs


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

    Args:
        anchors: the points, in pixels.
        sizes: width and height of each label, in pixels.
        solid: what a label must not cover, such as markers.
        light: what it should rather not cover, such as error bars.
        bounds: the area labels must stay in.
    """
    places: list[Box | None] = [None] * len(anchors)
    for _ in range(PASSES):
        for i, (anchor, size) in enumerate(zip(anchors, sizes, strict=True)):
            taken = [box for j, box in enumerate(places) if j != i and box is not None]
            places[i] = min(
                _candidates(anchor, size),
                key=lambda place: _penalty(place, taken, solid, light, bounds),
            )[1]
    return [box for box in places if box is not None]


def _candidates(anchor: tuple[float, float], size: tuple[float, float]) -> list[tuple[float, Box]]:
    x, y = anchor
    width, height = size
    found = []
    for distance in DISTANCES:
        for step in range(ANGLES):
            angle = 2 * math.pi * step / ANGLES
            dx, dy = math.cos(angle), math.sin(angle)
            # The box touches the circle of this distance with the side that faces the point.
            cx, cy = x + dx * (distance + width / 2), y + dy * (distance + height / 2)
            found.append((distance, Box(cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)))
    return found


def _penalty(
    place: tuple[float, Box], taken: Sequence[Box], solid: Sequence[Box], light: Sequence[Box], bounds: Box
) -> float:
    distance, box = place
    covered = sum(box.overlap(other) for other in taken) + sum(box.overlap(other) for other in solid)
    outside = box.area() - box.overlap(bounds)
    return (
        1000 * outside + 100 * covered + 3 * sum(box.overlap(other) for other in light) + distance * math.sqrt(distance)
    )
