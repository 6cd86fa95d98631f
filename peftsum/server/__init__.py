"""``peftsum serve``: summaries over HTTP, requests of all adapters in one batch (extra ``serve``).

| what | module |
|---|---|
| what is asked and answered, the limits, the refusals with their status | ``schemas``, ``limits``, ``refusals`` |
| the one place that a dialogue's text comes in by | ``incoming`` |
| adapters by name, from one folder and no other | ``folder`` |
| the thread that owns the model, with its queue and its turns | ``engine`` |
| a summary on its way: its rows; those in progress; written and explained | ``work``, ``lanes``, ``scribe`` |
| what ``/metrics`` tells | ``metrics`` |
| HTTP: routes; what stands before them; the process, its signals and its end | ``app``, ``guards``, ``run`` |
| the page at ``/`` | ``page/`` |

Only ``peftsum.cli.serve`` imports it, since FastAPI, uvicorn and prometheus-client come with the extra.
"""
