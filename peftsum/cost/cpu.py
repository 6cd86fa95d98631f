"""Energy of the CPU side: packages and memory by their counters, and by an estimate where there are none."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from peftsum.cost.component import Component, Part, Watts, at_rest, baseline_w, share
from peftsum.cost.counters import MICROJOULES_PER_JOULE, CounterSet, Domain
from peftsum.cost.estimate import IDLE_SHARE, ProcessUse, core_watts, estimate_cores, estimate_ram
from peftsum.cost.meter import describe
from peftsum.cost.readings import Reading, unmeasured
from peftsum.cost.section import Cost

NO_RAM_COUNTER = "this CPU does not count its memory"


class CpuEnergy(Component):
    """Joules of CPU and RAM between start and stop, each by a counter where it can be read, by an estimate where not.

    Args:
        cost: the recipe's wishes.
        counters: of the machine.
    """

    def __init__(self, cost: Cost, counters: CounterSet) -> None:
        self._core = core_watts(cost.cpu_watts_per_core)
        self._counters = counters
        self._rest_w: dict[str, float | None] = {}
        self._uncounted: str | None = None

    def prepare(self) -> None:
        """Find the counters, and once a process see what they count while it sleeps."""
        try:
            self._counters.open()
            resting = cache(self._counters.resting_w)  # one sleep for all domains
            for scope in [domain.scope for domain in self._counters.domains]:
                self._rest_w[scope] = baseline_w(
                    f"{self._counters.name} {scope}",
                    lambda scope=scope: resting().get(scope),  # type: ignore[misc]
                )
        except Exception as error:
            self._uncounted = describe(error)

    def start(self) -> None:
        """Read the counters, and what the process has used so far."""
        self._begin = ProcessUse.now()
        self._try(self._counters.start)

    def stop(self) -> None:
        """Read both again."""
        self._end = ProcessUse.now()
        self._try(self._counters.stop)

    def parts(self) -> list[Part]:
        """Return CPU and RAM, in this order; several where there are several packages."""
        return [*self._side("cpu"), *self._side("ram")]

    def _try(self, step: Callable[[], None]) -> None:
        if self._uncounted is None:
            try:
                step()
            except Exception as error:
                self._uncounted = describe(error)

    def _side(self, kind: str) -> list[Part]:
        domains = [domain for domain in self._counters.domains if domain.kind == kind]
        still = [domain.scope for domain in domains if domain.moved_uj == 0]
        reason = self._uncounted
        if reason is None and still:  # virtual machines show such counters
            reason = f"the {self._counters.name} of {' and '.join(still)} did not move"
        if reason is None and domains:
            return [self._counted(domain) for domain in domains]
        return [self._estimated(kind, reason or NO_RAM_COUNTER)]

    def _counted(self, domain: Domain) -> Part:
        energy = Reading(
            value=domain.moved_uj / MICROJOULES_PER_JOULE,
            unit="J",
            scope=domain.scope,
            source=self._counters.name,
            estimated=self._counters.caveat is not None,
            reason=self._counters.caveat,
        )
        rest_w = self._rest_w.get(domain.scope)
        if rest_w is None:
            return Part(energy, _idle_share(energy, IDLE_SHARE))
        window_s = self._end.clock_s - self._begin.clock_s
        source = f"{self._counters.name} over 0.1 s before the first phase"
        return Part(energy, at_rest(energy, rest_w, window_s, source))

    def _estimated(self, kind: str, reason: str) -> Part:
        if kind == "ram":
            energy = estimate_ram(self._begin, self._end, reason)
            return Part(energy, _idle_share(energy, Watts(1.0, 1.0, 1.0)))  # its watts are those of memory at rest
        energy = estimate_cores(self._begin, self._end, self._core, reason)
        return Part(energy, _idle_share(energy, IDLE_SHARE))


def _idle_share(energy: Reading, portion: Watts) -> Reading:
    if energy.value is None:
        return unmeasured("J", energy.scope, "its energy was not measured")
    if portion.low == portion.high == 1:
        return share(energy, portion, "estimate: memory takes at rest what it takes in use")
    text = f"estimate: {portion.value:g} of a busy core's watts (range {portion.low:g} to {portion.high:g})"
    return share(energy, portion, text)
