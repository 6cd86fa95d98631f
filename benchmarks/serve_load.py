"""A real server under twice its capacity: what is lost, how long answers take, and whether memory stays flat.

    python benchmarks/serve_load.py --json serve.json

For 1, 8 and 64 adapters in memory: `peftsum serve` is started on the built-in base, the time to its first summary is
taken, and its capacity found by clients that ask again as soon as they are answered. Then, with 8 adapters, requests
come at random times (Poisson) at twice that rate for two minutes, each for one summary by a random adapter. What was
accepted must be answered: an answer that never came, or any status but 200 and 429, fails the run. Clients and server
share the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]  # the peftsum of this checkout
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from serving.load import Answer, Load  # noqa: E402
from serving.process import copy_adapters, running  # noqa: E402

from peftsum.cost.machine import describe_machine  # noqa: E402
from peftsum.data import load_split  # noqa: E402
from peftsum.recipe import Data  # noqa: E402
from peftsum.units import format_bytes  # noqa: E402

OVERLOAD = 2.0
CLIENTS = 48  # more than rows of a batch, fewer than rows and queue together: the server is never idle and never full
SEED = 13


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it, print the table, write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="20 seconds of overload, 1 and 8 adapters")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write machine, versions, figures and ratios here")
    parser.add_argument("--seconds", type=float, help="of overload; by default 120")
    parser.add_argument("--capacity-seconds", type=float, help="in which capacity is found; by default 20")
    parser.add_argument("--adapters", help="comma-separated counts; the overload is with 8, or else the last of them")
    options = parser.parse_args(arguments)
    seconds = options.seconds or (20.0 if options.quick else 120.0)
    capacity_s = options.capacity_seconds or (8.0 if options.quick else 20.0)
    counts = [int(n) for n in (options.adapters or ("1,8" if options.quick else "1,8,64")).split(",")]
    loaded = 8 if 8 in counts else counts[-1]
    dialogues = [e.dialogue for e in load_split(Data(source="builtin:dialogues"), "test").examples]
    found: dict[str, Any] = {"adapters": {}}
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            names = copy_adapters(count, Path(folder))
            print(f"{count} adapters …", file=sys.stderr)
            with running(Path(folder), names) as server:
                load = Load(server, names, dialogues, SEED)
                found["adapters"][count] = measured = capacity(load, capacity_s)
                if count == loaded:
                    rate = OVERLOAD * measured["summaries_per_s"]
                    print(f"{rate:.1f} requests a second for {seconds:g} s …", file=sys.stderr)
                    found["overload"] = overload(load, rate, seconds) | {"adapters": count}
    found["ratios"] = ratios(found)
    show(found)
    if options.json:
        machine = describe_machine()
        record = {
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": {"cpu": machine.cpu, "cores": machine.usable_cores, "os": machine.os, "python": machine.python},
            "threads": os.environ.get("OMP_NUM_THREADS"),
            "versions": machine.packages,
            "dialogues": {"source": "builtin:dialogues", "split": "test", "count": len(dialogues)},
        }
        options.json.write_text(json.dumps(record | found, indent=1) + "\n", encoding="utf-8")


def capacity(load: Load, seconds: float) -> dict[str, Any]:
    """Return the time to the first summary, the memory, and the summaries a second of a server that is kept busy."""
    server = load.server
    (first,) = load.closed(1, 0.0)
    first_s = time.perf_counter() - server.started
    load.closed(CLIENTS, seconds / 4)  # what is made once, and adapters that come to their seats
    rss = server.rss_bytes()
    before, began = server.metrics(), time.perf_counter()
    answers = load.closed(CLIENTS, seconds)
    took, after = time.perf_counter() - began, server.metrics()
    check(answers, {200})
    summaries = after["peftsum_summaries_total"] - before["peftsum_summaries_total"]
    steps = after["peftsum_batch_rows_count"] - before["peftsum_batch_rows_count"]
    rows = after["peftsum_batch_rows_sum"] - before["peftsum_batch_rows_sum"]
    halves = [
        sum(lo <= a.asked_s + a.seconds < lo + seconds / 4 for a in answers) / (seconds / 4)
        for lo in (i * seconds / 4 for i in range(4))
    ]
    return {
        "listening_s": server.listening_s,
        "first_summary_s": first_s,
        "first_request_s": first.seconds,
        "summaries_per_s": summaries / took,
        "summaries_per_s_by_quarter": halves,
        "latency_s": quantiles([a.seconds for a in answers]),
        "batch_rows_mean": rows / steps,
        "rss_bytes": rss,
        "adapter_bytes": server.base()["adapter_bytes"],
        "adapters_resident": server.base()["adapters_resident"],
    }


def overload(load: Load, rate: float, seconds: float) -> dict[str, Any]:
    """Return what became of requests at a rate above the server's own."""
    server = load.server
    before = server.metrics()
    answers, sizes = load.open(rate, seconds)
    took = max(a.asked_s + a.seconds for a in answers)
    after = server.metrics()
    check(answers, {200, 429})
    accepted = [a for a in answers if a.status == 200]
    written = after["peftsum_summaries_total"] - before["peftsum_summaries_total"]
    if written != len(accepted) or after["peftsum_given_up_requests_total"]:
        sys.exit(f"{written:.0f} summaries were written for {len(accepted)} accepted requests")
    quarter = len(sizes) // 4
    early, late = ([size for _, size in part] for part in (sizes[quarter : 2 * quarter], sizes[-quarter:]))
    return {
        "requests_per_s": rate,
        "seconds": seconds,
        "requests": len(answers),
        "accepted": len(accepted),
        "lost": 0,
        "rejected_share": 1 - len(accepted) / len(answers),
        "summaries_per_s": len(accepted) / took,
        "latency_s": quantiles([a.seconds for a in accepted]),
        "latency_s_by_quarter": [
            quantiles([a.seconds for a in accepted if i * seconds / 4 <= a.asked_s < (i + 1) * seconds / 4])
            for i in range(4)
        ],
        "refusal_s": quantiles([a.seconds for a in answers if a.status == 429]),
        "retry_after_s": quantiles([float(a.retry_after) for a in answers if a.retry_after is not None]),
        "rss_bytes": {
            "second_quarter": median(early),
            "last_quarter": median(late),
            "largest": max(s for _, s in sizes),
        },
        "rss_by_second": [[round(at, 1), size] for at, size in sizes],
    }


def check(answers: Sequence[Answer], allowed: set[int]) -> None:
    """End the run where an answer did not come or is none of those expected."""
    odd = Counter(a.status for a in answers if a.status not in allowed)
    if odd:
        sys.exit(f"answers that must not be: {dict(odd)} (None: none came)")


def quantiles(values: Sequence[float]) -> dict[str, float] | None:
    """Return median, 99th percentile and the largest; None where there is no value."""
    if not values:
        return None
    ordered = sorted(values)
    return {"p50": median(ordered), "p99": ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], "max": ordered[-1]}


def ratios(found: dict[str, Any]) -> dict[str, float]:
    """Return what is compared, larger being better for the server."""
    by_count, over = found["adapters"], found["overload"]
    first = by_count[min(by_count)]["summaries_per_s"]
    made = {f"adapters{n}_vs_{min(by_count)}": each["summaries_per_s"] / first for n, each in by_count.items()}
    own = by_count[over["adapters"]]["summaries_per_s"]
    memory = over["rss_bytes"]["second_quarter"] / over["rss_bytes"]["last_quarter"]
    return made | {"overload_vs_capacity": over["summaries_per_s"] / own, "memory_early_vs_late": memory}


def show(found: dict[str, Any]) -> None:
    """Print the table."""
    heads = ("adapters", "listens", "first summary", "summaries/s", "p50", "p99", "rows", "memory", "of adapters")
    print(" ".join(f"{head:>13}" for head in heads))
    for count, each in found["adapters"].items():
        latency = each["latency_s"]
        cells = (
            str(count),
            f"{each['listening_s']:.1f} s",
            f"{each['first_summary_s']:.1f} s",
            f"{each['summaries_per_s']:.1f}",
            f"{latency['p50']:.2f} s",
            f"{latency['p99']:.2f} s",
            f"{each['batch_rows_mean']:.1f}",
            format_bytes(each["rss_bytes"]),
            format_bytes(each["adapter_bytes"]),
        )
        print(" ".join(f"{cell:>13}" for cell in cells))
    over = found["overload"]
    latency, rss = over["latency_s"], over["rss_bytes"]
    print(
        f"\n{over['requests_per_s']:.1f} requests a second for {over['seconds']:g} s ({over['adapters']} adapters): "
        f"{over['accepted']} accepted and answered, 0 lost, {100 * over['rejected_share']:.0f} % refused, "
        f"{over['summaries_per_s']:.1f} summaries a second\n"
        f"latency p50 {latency['p50']:.2f} s, p99 {latency['p99']:.2f} s, longest {latency['max']:.2f} s; memory "
        f"{format_bytes(rss['second_quarter'])} in the second quarter, {format_bytes(rss['last_quarter'])} in the last"
    )
    print("ratios: " + ", ".join(f"{name} {value:.2f}" for name, value in found["ratios"].items()))


if __name__ == "__main__":
    main()
