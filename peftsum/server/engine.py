"""The thread that owns the model: it takes requests from a bounded queue and turns rows into summaries.

Everything that reads or changes the model happens in it, turn by turn: adapters come and go, rows that nobody waits for
leave, waiting ones join, each row gets its next token, and finished ones are explained.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future

from peftsum.decoding import Decoded, why_not
from peftsum.decoding.joining import LastingPlan
from peftsum.exceptions import PeftsumError, UsageError
from peftsum.generate import Summarizer
from peftsum.server.folder import AdapterFolder, OnDisk
from peftsum.server.lanes import Lanes
from peftsum.server.limits import Limits
from peftsum.server.metrics import Metrics
from peftsum.server.refusals import Refusal, failed, queue_full, stopping, too_late, where
from peftsum.server.schemas import AdapterInfo, BaseInfo, Summary
from peftsum.server.scribe import Scribe
from peftsum.server.work import Ask, Row, Share, Ticket, Work

logger = logging.getLogger(__name__)

PACE_WINDOW_S = 20.0  # busy seconds over which the throughput is averaged, older ones fading
GUESSED_PACE = 1.0  # summaries a second, before any was written
IDLE_S = 0.5  # between looks for requests whose time is over, while nothing else happens


class Engine:
    """Requests in, summaries out; start it before use and stop it after.

    Args:
        summarizer: the base; adapters are loaded into it by name.
        folder: where those come from.
        limits: of the queue and the batch.
        metrics: are kept up to date.
    """

    def __init__(self, summarizer: Summarizer, folder: AdapterFolder, limits: Limits, metrics: Metrics) -> None:
        self._summarizer, self._folder, self._limits, self._metrics = summarizer, folder, limits, metrics
        self.device = str(summarizer.resident.bare.device)
        self._changed = threading.Condition()
        self._queue: deque[Work] = deque()
        self._live: dict[int, Ticket] = {}
        self._orders: deque[tuple[Callable[[], object], Future[object]]] = deque()
        self._users: Counter[str] = Counter()
        """Adapter to how many summaries by it are queued or in progress."""
        self._leaving: dict[str, Future[object]] = {}
        self._refusing = self._closed = False
        self._pace = _Pace()
        self._thread = threading.Thread(target=self._run, name="peftsum-engine", daemon=True)

    # From any thread -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the turn it is in; who still waits is refused."""
        with self._changed:
            self._refusing = self._closed = True
            self._changed.notify()
        self._thread.join()
        for ticket in self._live.values():
            ticket.fail(stopping(1))

    def refuse(self) -> None:
        """Take nothing new from now on; what was taken is finished."""
        self._refusing = True

    @property
    def refusing(self) -> bool:
        """Whether nothing new is taken."""
        return self._refusing

    @property
    def idle(self) -> bool:
        """Whether every accepted request is answered."""
        return not self._live and not self._orders

    @property
    def queued(self) -> int:
        """Summaries that wait."""
        return len(self._queue)

    @property
    def running(self) -> int:
        """Rows in progress."""
        return len(self._lanes) if hasattr(self, "_lanes") else 0

    def submit(self, asks: Sequence[Ask]) -> Ticket:
        """Accept a request and return its ticket.

        Raises:
            Refusal: the queue is full (429), the server is stopping (503), or an adapter is being unloaded (409).
        """
        with self._changed:
            if self._refusing:
                raise stopping(self._pace.seconds(len(self._queue) + self.running))
            if len(self._queue) + len(asks) > self._limits.queue:
                waiting = len(self._queue)
                raise queue_full(waiting, self._limits.queue, self._pace.seconds(waiting + len(asks)))
            gone = next((ask.adapter for ask in asks if ask.adapter in self._leaving), None)
            if gone is not None:
                raise Refusal(409, f"adapter {gone!r} is being unloaded", hint="ask again in a moment")
            ticket = Ticket(asks, self._limits.timeout_s)
            self._live[id(ticket)] = ticket
            self._queue.extend(Work(ticket, i, ask) for i, ask in enumerate(asks))
            self._users.update(ask.adapter for ask in asks if ask.adapter is not None)
            self._metrics.queue.set(len(self._queue))
            self._changed.notify()
        return ticket

    def give_up(self, ticket: Ticket) -> None:
        """Let a request go: its rows leave at the next turn."""
        ticket.future.cancel()
        with self._changed:
            self._changed.notify()

    def load(self, name: str) -> Future[object]:
        """Load an adapter; the future ends when it is there, or with the reason why not."""
        return self._order(lambda: self._load(name))

    def unload(self, name: str) -> Future[object]:
        """Unload an adapter once the summaries that were asked of it are written; the future ends when it is gone."""
        with self._changed:
            if self._closed:
                raise stopping(1)
            if name not in self._leaving:
                self._leaving[name] = Future()
            self._changed.notify()
            return self._leaving[name]

    def describe(self, found: Mapping[str, OnDisk]) -> Future[object]:
        """Return the base and adapters as ``(BaseInfo, list[AdapterInfo])``, in a future.

        Args:
            found: what the folder tells of each, by name.
        """
        return self._order(lambda: (self._base_info(), [self._adapter_info(name, found[name]) for name in found]))

    def _order(self, what: Callable[[], object]) -> Future[object]:
        future: Future[object] = Future()
        with self._changed:
            if self._closed:
                raise stopping(1)
            self._orders.append((what, future))
            self._changed.notify()
        return future

    # In the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        import torch

        with torch.inference_mode():
            resident = self._summarizer.resident
            plan = LastingPlan(resident.bare) if why_not(resident.bare) is None else None
            self._lanes = Lanes(resident, plan, self._limits.batch)
            self._scribe = Scribe(self._summarizer, self._lanes)
            self._count_adapters()
            while True:
                with self._changed:
                    if not (self._closed or self._queue or self._orders or self._leaving or self._busy):
                        self._changed.wait(IDLE_S)
                    if self._closed:
                        return
                self._turn()

    @property
    def _busy(self) -> bool:
        return bool(len(self._lanes) or self._lanes.waiting)

    def _turn(self) -> None:
        """Do what has come up, and write one more token of every row."""
        started, cpu_s = time.perf_counter(), time.process_time()
        taking: list[Work] = []
        done = 0
        try:
            self._obey()
            self._let_go()
            taking, done = self._begin()
            self._admit()
            taking += [row.work for row in self._lanes.running]
            if len(self._lanes):
                self._metrics.batch.observe(len(self._lanes))
            for row, decoded in self._lanes.step():
                done += self._finish(row, decoded)
        except Exception as error:
            self._recover(error)
        if taking:
            seconds = time.perf_counter() - started
            self._pace.note(done, seconds)
            _charge(taking, seconds, time.process_time() - cpu_s)
        self._metrics.running.set(len(self._lanes))
        self._metrics.queue.set(len(self._queue))

    def _obey(self) -> None:
        """Carry out orders, and unload adapters that no summary needs any more."""
        while self._orders:
            what, future = self._orders.popleft()
            _carry_out(what, future)
        with self._changed:
            gone = [name for name in self._leaving if not self._users[name]]
        for name in gone:
            _carry_out(lambda name=name: self._unload(name), self._leaving[name])  # type: ignore[misc]
            with self._changed:
                del self._leaving[name]

    def _let_go(self) -> None:
        """Drop the rows of requests that nobody waits for."""
        over = {key: ticket for key, ticket in list(self._live.items()) if ticket.over}
        if not over:
            return
        for ticket in over.values():
            if ticket.future.cancelled() or not ticket.future.done():
                self._metrics.given_up.inc()
                ticket.fail(too_late(self._limits.timeout_s))
        with self._changed:
            works = {id(work): work for work in self._queue if id(work.ticket) in over}
            self._queue = deque(work for work in self._queue if id(work) not in works)
        rows = [row for row in (*self._lanes.waiting, *self._lanes.running) if id(row.work.ticket) in over]
        self._lanes.drop(rows)
        for work in (works | {id(row.work): row.work for row in rows}).values():
            self._end(work)
        for key in over:
            self._live.pop(key, None)

    def _begin(self) -> tuple[list[Work], int]:
        """Begin queued summaries as long as rows can join soon; return them, and how many are finished already."""
        begun: list[Work] = []
        while self._queue and len(self._lanes.waiting) + len(self._lanes) < 2 * self._limits.batch:
            with self._changed:
                work = self._queue.popleft()
            begun.append(work)
            try:
                if work.ask.adapter is not None:
                    self._load(work.ask.adapter)
                rows = self._scribe.begin(work)
                if rows is None:
                    self._tell(work, self._scribe.write_apart(work))
                    return begun, 1
                self._lanes.waiting.extend(rows)
            except Exception as error:
                self._fail(work, error)
        return begun, 0

    def _admit(self) -> None:
        now = time.monotonic()
        for row in self._lanes.admit(lambda row, error: self._fail(row.work, error)):
            self._metrics.tokens.labels("read").inc(len(row.source))
            if not row.work.joined:
                row.work.joined = True
                self._metrics.queued_seconds.observe(now - row.work.ticket.asked_at)

    def _finish(self, row: Row, decoded: Decoded) -> int:
        """Take in a finished row; return how many summaries that made: one or none."""
        self._metrics.tokens.labels("written").inc(len(decoded.ids))
        try:
            next_ = self._scribe.advance(row, decoded)
        except Exception as error:
            self._fail(row.work, error)
            return 0
        finally:
            self._lanes.release(row)
        if isinstance(next_, list):
            self._lanes.waiting.extendleft(reversed(next_))
            return 0
        self._tell(row.work, next_)
        return 1

    def _tell(self, work: Work, summary: Summary) -> None:
        ticket = work.ticket
        self._end(work)
        self._metrics.summaries.inc()
        if ticket.tell(work.index, summary, self.device):
            self._live.pop(id(ticket), None)
            self._metrics.summary_seconds.observe(time.monotonic() - ticket.asked_at)

    def _fail(self, work: Work, error: Exception) -> None:
        """Answer a work's request with an error; the rest of it leaves at the next turn."""
        self._end(work)
        if not isinstance(error, PeftsumError):
            logger.error("a request failed: %s", where(error))
            error = failed()
        work.ticket.fail(error)
        rest = [row for row in (*self._lanes.waiting, *self._lanes.running) if row.work is work]
        self._lanes.drop(rest)

    def _end(self, work: Work) -> None:
        if work.ask.adapter is not None:
            with self._changed:
                self._users[work.ask.adapter] -= 1

    def _recover(self, error: Exception) -> None:
        """Fail the requests in progress after a fault in a step, and begin with empty caches."""
        logger.error("a step failed, and with it all summaries in progress: %s", where(error))
        for row in (*self._lanes.waiting, *self._lanes.running):
            row.work.ticket.fail(failed())
        works = {id(row.work): row.work for row in (*self._lanes.waiting, *self._lanes.running)}
        self._lanes.clear()
        for work in works.values():
            self._end(work)

    def _load(self, name: str) -> None:
        if name in self._summarizer.adapters:
            return
        path = self._folder.path(name)
        try:
            self._summarizer.load(path, name)
        except UsageError as error:  # such as IA3 beside LoRA
            raise Refusal(409, self._folder.hidden(error.message), hint=self._folder.hidden(error.hint)) from error
        except PeftsumError as error:
            raise Refusal(422, self._folder.hidden(error.message), hint=self._folder.hidden(error.hint)) from error
        self._scribe.forget()
        self._count_adapters()

    def _unload(self, name: str) -> None:
        if name not in self._summarizer.adapters:
            return
        self._lanes.seats.forget(name)
        self._summarizer.unload(name)
        self._scribe.forget()
        self._count_adapters()

    def _count_adapters(self) -> None:
        bank = self._summarizer.resident.bank
        self._metrics.adapters.set(len(self._summarizer.adapters))
        self._metrics.adapter_bytes.set(bank.nbytes + self._lanes.seats.nbytes)

    def _base_info(self) -> BaseInfo:
        resident = self._summarizer.resident
        return BaseInfo(
            name=self._summarizer.base,
            revision=self._summarizer.revision,
            device=self.device,
            adapters_resident=len(self._summarizer.adapters),
            adapter_bytes=resident.bank.nbytes + self._lanes.seats.nbytes,
        )

    def _adapter_info(self, name: str, found: OnDisk) -> AdapterInfo:
        resident, loaded = self._summarizer.resident, name in self._summarizer.adapters
        apart = resident.runs_apart(name) if loaded else None
        held = resident.resident_bytes(name) if loaded else 0
        return AdapterInfo(
            name=name, **found.model_dump(), resident=bool(held or apart), resident_bytes=held, apart=apart
        )


class _Pace:
    """Throughput while there was something to do, older seconds fading."""

    def __init__(self) -> None:
        self._summaries = self._busy_s = 0.0

    def note(self, summaries: int, seconds: float) -> None:
        """Count busy seconds and the summaries that were finished in them."""
        self._summaries += summaries
        self._busy_s += seconds
        if self._busy_s > PACE_WINDOW_S:
            self._summaries, self._busy_s = self._summaries / 2, self._busy_s / 2

    def seconds(self, summaries: int) -> float:
        """Return how long so many summaries take."""
        known = self._summaries >= 1 and self._busy_s > 0
        return summaries / (self._summaries / self._busy_s if known else GUESSED_PACE)


def _charge(works: Sequence[Work], seconds: float, cpu_s: float) -> None:
    """Share the time of a turn among the summaries it served."""
    for work in works:
        share: Share = work.ticket.share
        share.wall_s += seconds / len(works)
        share.cpu_s += cpu_s / len(works)


def _carry_out(what: Callable[[], object], future: Future[object]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(what())
    except PeftsumError as error:
        future.set_exception(error)
    except Exception as error:
        logger.error("an order failed: %s", where(error))
        future.set_exception(failed())
