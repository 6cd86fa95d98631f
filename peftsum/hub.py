"""Whether the Hub can be reached, found out once and fast.

The Hub's client tries each file six times over 23 seconds, so that a machine without a network would wait for minutes
before it hears so.
"""

from __future__ import annotations

import logging
import os
import sys
from functools import cache

logger = logging.getLogger(__name__)

PROBE_TIMEOUT_S = 5.0


@cache
def go_offline_if_unreachable() -> None:
    """Ask the Hub for one header; without an answer, this process takes what its cache has and asks no more."""
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return
    try:
        get_session().head(constants.ENDPOINT, timeout=PROBE_TIMEOUT_S)
    except Exception as error:  # the client's own types, which differ between its versions
        logger.warning("no answer from %s (%s); only what is in its cache can be used", constants.ENDPOINT, error)
        os.environ["HF_HUB_OFFLINE"] = "1"  # read by what is not imported yet
        constants.HF_HUB_OFFLINE = True
        if "datasets" in sys.modules:
            sys.modules["datasets"].config.HF_HUB_OFFLINE = True
