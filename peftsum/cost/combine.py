"""Readings put together: two sides of one phase, or two parts of a run that was resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from peftsum.cost.component import WHOLE
from peftsum.cost.readings import Reading, Readings, unmeasured

PARTS = "; then "  # between the sources of two parts of a run
BESIDE = " + "  # between those of two components
ESTIMATE = "estimate: "


def combine(first: Readings, second: Readings) -> Readings:
    """Return the cost of a run in two parts: wall time and energy add up, the peak is the higher one.

    A cost that one part did not measure is not measured for the whole. Readings of older versions have no parts and no
    idle share; what is put together with them has none either, and says so.

    Args:
        first: the part before.
        second: the part after.
    """

    def optional(one: Reading | None, other: Reading | None, join: Callable[[float, float], float]) -> Reading | None:
        known = one or other
        if known is None:
            return None
        missing = unmeasured(known.unit, known.scope, "a part of the run did not record it")
        return _joined(one or missing, other or missing, PARTS, join)

    parts: list[Reading] = []
    if first.energy_parts and second.energy_parts:
        parts = by_scope([*first.energy_parts, *second.energy_parts], PARTS)
    sizes = [*first.memory_parts.items(), *second.memory_parts.items()]
    return Readings(
        wall_s=add(first.wall_s, second.wall_s, PARTS),
        peak_memory_bytes=_joined(first.peak_memory_bytes, second.peak_memory_bytes, PARTS, max),
        energy_j=add(first.energy_j, second.energy_j, PARTS),
        energy_parts=tuple(parts),
        idle_energy_j=optional(first.idle_energy_j, second.idle_energy_j, _plus),
        reserved_memory_bytes=optional(first.reserved_memory_bytes, second.reserved_memory_bytes, max),
        memory_over_start_bytes=optional(first.memory_over_start_bytes, second.memory_over_start_bytes, max),
        memory_parts={name: max(size for other, size in sizes if other == name) for name, _ in sizes},
        codecarbon_j=optional(first.codecarbon_j, second.codecarbon_j, _plus),
        further={
            name: found
            for name in [*first.further, *(name for name in second.further if name not in first.further)]
            if (found := optional(first.further.get(name), second.further.get(name), _joint(name, first, second)))
        },
    )


def side_by_side(readings: Sequence[tuple[int, Readings]]) -> Readings:
    """Return the cost of processes that worked together, the first of them giving the time.

    The peak is that of the process that needed most. A counter of a whole machine counts once, whoever read it; shares
    of single processes add up.

    Args:
        readings: the number of its machine and what it read, a process an entry.
    """
    main = readings[0][1]
    if len(readings) == 1:
        return main
    every = [costs for _, costs in readings]
    parts = _of_machines(readings)
    partless = [costs.energy_j for costs in every if not costs.energy_parts]
    apart = unmeasured("J", "all processes", "the idle share of several processes is not put together")
    return main.model_copy(
        update={
            "peak_memory_bytes": _highest([costs.peak_memory_bytes for costs in every]),
            "reserved_memory_bytes": _highest([costs.reserved_memory_bytes for costs in every]),
            "memory_over_start_bytes": _highest([costs.memory_over_start_bytes for costs in every]),
            "energy_parts": tuple(parts),
            "energy_j": partless[0] if partless else total(parts),
            "idle_energy_j": apart if main.idle_energy_j else None,
            "codecarbon_j": None,
            "further": _further_side_by_side(every),
        }
    )


def _of_machines(readings: Sequence[tuple[int, Readings]]) -> list[Reading]:
    several = len({machine for machine, _ in readings}) > 1
    found: dict[tuple[int, str], Reading] = {}
    for machine, costs in readings:
        for part in costs.energy_parts:
            key = (machine, part.scope)
            if key not in found:
                scope = f"machine {machine + 1}: {part.scope}" if several else part.scope
                found[key] = part.model_copy(update={"scope": scope})
            elif WHOLE not in part.scope:
                found[key] = add(found[key], part.model_copy(update={"scope": found[key].scope}), PARTS)
    return list(found.values())


def _joint(name: str, first: Readings, second: Readings) -> Callable[[float, float], float]:
    """Return how an added meter's readings are put together: bytes are peaks, seconds and joules add up."""
    known = first.further.get(name) or second.further[name]
    return max if known.unit == "B" else _plus


def _further_side_by_side(every: Sequence[Readings]) -> dict[str, Reading]:
    """Return the readings of added meters for all processes; one that a process lacks is not measured."""
    found: dict[str, Reading] = {}
    for name in dict.fromkeys(name for costs in every for name in costs.further):
        known = [costs.further[name] for costs in every if name in costs.further]
        gaps = [unmeasured(known[0].unit, "a process", "it did not record it")] * (len(every) - len(known))
        highest = _highest([*known, *gaps]) if known[0].unit == "B" else total([*known, *gaps])
        found |= {} if highest is None else {name: highest}
    return found


def _highest(readings: Sequence[Reading | None]) -> Reading | None:
    known = [reading for reading in readings if reading is not None]
    if not known:
        return None
    lacking = [reading for reading in known if reading.value is None]
    found = lacking[0] if lacking else max(known, key=lambda reading: reading.value or 0)
    return found.model_copy(update={"scope": f"{found.scope}, the highest of {len(readings)} processes"})


def by_scope(readings: Iterable[Reading], between: str) -> list[Reading]:
    """Return readings with those of one scope added up, in the order in which the scopes come.

    Args:
        readings: of one unit.
        between: put between the sources that are added up.
    """
    found: dict[str, Reading] = {}
    for reading in readings:
        known = found.get(reading.scope)
        found[reading.scope] = reading if known is None else add(known, reading, between)
    return list(found.values())


def total(readings: Sequence[Reading]) -> Reading:
    """Return the sum of the readings of a machine's components, ranges included; unmeasured if one of them is.

    Args:
        readings: of one unit, at least one.
    """
    whole = readings[0]
    for reading in readings[1:]:
        whole = add(whole, reading, BESIDE)
    if whole.value is None:
        return whole
    counted = dict.fromkeys(r.source for r in readings if not r.source.startswith(ESTIMATE))
    modelled = dict.fromkeys(r.source.removeprefix(ESTIMATE) for r in readings if r.source.startswith(ESTIMATE))
    sources = [*counted, *([ESTIMATE + ", ".join(modelled)] if modelled else [])]
    return whole.model_copy(update={"source": BESIDE.join(sources)})


def add(first: Reading, second: Reading, between: str) -> Reading:
    """Return the sum of two readings of one unit, ranges included.

    Args:
        first: one reading.
        second: the other.
        between: put between their scopes, and between their sources, where they differ.
    """
    return _joined(first, second, between, _plus)


def _joined(first: Reading, second: Reading, between: str, join: Callable[[float, float], float]) -> Reading:
    if first.unit != second.unit:
        raise ValueError(f"a reading in {first.unit} and one in {second.unit} cannot be put together")
    scope = _text(first.scope, second.scope, between)
    if first.value is None or second.value is None:
        reasons = [f"{part.scope}: {part.reason}" for part in (first, second) if part.value is None]
        return unmeasured(first.unit, scope, _text(reasons[0], reasons[-1], "; "))
    ranged = {first.low, first.high, second.low, second.high} != {None}
    return Reading(
        value=join(first.value, second.value),
        unit=first.unit,
        scope=scope,
        source=_text(first.source, second.source, between),
        estimated=first.estimated or second.estimated,
        # A side without a range is a counter's: it shifts the range and does not widen it.
        low=join(_or(first.low, first.value), _or(second.low, second.value)) if ranged else None,
        high=join(_or(first.high, first.value), _or(second.high, second.value)) if ranged else None,
        reason=_text(first.reason or "", second.reason or "", "; ") or None,
    )


def _plus(one: float, other: float) -> float:
    return one + other


def _or(value: float | None, instead: float) -> float:
    return instead if value is None else value


def _text(first: str, second: str, between: str) -> str:
    """Join two texts, and say nothing twice when a run was resumed many times."""
    parts = dict.fromkeys([*first.split(between), *second.split(between)])
    return between.join(part for part in parts if part)
