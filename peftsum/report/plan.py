"""A plan on the console: the parts of the peak, the verdict, and the changes that would make it fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peftsum.cost.forecast import Amount
from peftsum.forecast.changes import Change
from peftsum.forecast.plan import DevicePlan, Plan
from peftsum.forecast.text import amount_text, range_text
from peftsum.units import format_bytes, format_count, format_joules, format_seconds

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table
    from rich.text import Text

STYLES = {"fits": "bold green", "too close to call": "bold yellow", "does not fit": "bold red", "unknown": "bold"}
NOT_KNOWN = "unknown"
WIDTH = 100


def render_plan(plan: Plan) -> Group:
    """Return what ``peftsum plan`` shows: one device part by part, several beside one another."""
    from rich.console import Group
    from rich.text import Text

    recipe = plan.recipe
    quantize = f", {recipe.model.quantize}" if recipe.model.quantize != "none" else ""
    head = Text(f"{recipe.name}: {recipe.method.label()} on {recipe.model.base}{quantize}", style="bold")
    parts: list[RenderableType] = [head]
    if len(plan.devices) == 1:
        device = plan.devices[0]
        parts += [_origin(device), _items(device), *_costs(device), _verdict(device)]
    else:
        parts += [_side_by_side(plan)]
    notes = [note for device in plan.devices for note in (*device.forecast.notes, *device.notes)]
    parts += [Text(f"note: {note}") for note in dict.fromkeys(notes)]
    for device in plan.devices:
        parts += _changes(device, named=len(plan.devices) > 1)
    return Group(*parts)


def _origin(device: DevicePlan) -> Text:
    from rich.text import Text

    target = device.target
    memory = f"{format_bytes(target.memory_bytes)} for a process" if target.memory_bytes else "memory not known"
    return Text(f"{target.name}: {target.title}; {memory} ({target.source})")


def _table(*headers: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for index, header in enumerate(headers):
        table.add_column(header, justify="right" if 0 < index < 3 else "left", no_wrap=index < 3)
    return table


def _items(device: DevicePlan) -> Table:
    from rich.text import Text

    table = _table("memory at the peak", "forecast", "range", "what it holds")
    for item in device.forecast.memory:
        if item.amount.high > 0:
            table.add_row(item.part, format_bytes(item.amount.value), _range(item.amount), Text(item.note))
    peak = device.forecast.peak_memory_bytes
    table.add_section()
    table.add_row("peak", format_bytes(peak.value), _range(peak), Text(peak.source), style="bold")
    return table


def _range(amount: Amount) -> str:
    return "" if amount.low == amount.high else range_text(amount)


def _costs(device: DevicePlan) -> list[RenderableType]:
    from rich.text import Text

    forecast = device.forecast
    steps = f", {format_count(forecast.steps)} steps" if forecast.steps else ", steps not known"
    lines = [
        ("a step", forecast.step_s, ""),
        ("the training", forecast.wall_s, steps),
        ("energy", forecast.energy_j, ""),
    ]
    return [
        Text(f"{name:14}{amount_text(amount)}{more}; {amount.source}" if amount else f"{name:14}{NOT_KNOWN}{more}")
        for name, amount, more in lines
    ]


def _verdict(device: DevicePlan) -> Text:
    from rich.text import Text

    memory = device.target.memory_bytes
    text = Text("verdict       ")
    text.append(device.verdict, style=STYLES[device.verdict])
    if memory is not None:
        text.append(f": {amount_text(device.forecast.peak_memory_bytes)} of {format_bytes(memory)}")
    return text


def _side_by_side(plan: Plan) -> Table:
    from rich.text import Text

    table = _table("device", "memory", "peak", "verdict", "a step", "training", "energy")
    for device in plan.devices:
        forecast, memory = device.forecast, device.target.memory_bytes
        table.add_row(
            device.target.name,
            format_bytes(memory) if memory else NOT_KNOWN,
            amount_text(forecast.peak_memory_bytes),
            Text(device.verdict, style=STYLES[device.verdict]),
            format_seconds(forecast.step_s.value) if forecast.step_s else NOT_KNOWN,
            format_seconds(forecast.wall_s.value) if forecast.wall_s else NOT_KNOWN,
            format_joules(forecast.energy_j.value) if forecast.energy_j else NOT_KNOWN,
        )
    return table


def _changes(device: DevicePlan, *, named: bool) -> list[RenderableType]:
    from rich.text import Text

    if device.verdict not in {"does not fit", "too close to call"}:
        return []
    where = f" {device.target.name}" if named else ""
    if not device.changes:
        return [Text(f"no change of the recipe makes it fit{where}: the smallest base is still too large")]
    lines = [Text(f"what would make it fit{where}, the cheapest first:", style="bold")]
    for number, change in enumerate(device.changes, 1):
        lines += [Text(line) for line in _change(number, change)]
    return list(lines)


def _change(number: int, change: Change) -> list[str]:
    forecast = change.forecast
    time = f", training {format_seconds(forecast.wall_s.value)}" if forecast.wall_s else ""
    return [
        f"  {number}. {' + '.join(change.names)}: {amount_text(forecast.peak_memory_bytes)}{time}",
        f"     {' '.join(f'--set {_quoted(setting)}' for setting in change.settings)}",
        f"     at the price of: {change.price}",
    ]


def _quoted(setting: str) -> str:
    return f"'{setting}'" if any(mark in setting for mark in " {}[]'\"") else setting
