"""The one place that a dialogue's text comes in by, before anything else sees it."""

from __future__ import annotations

from peftsum.server.refusals import Refusal


def take_in(dialogue: str) -> str:
    """Return a dialogue as the model may read it.

    Raises:
        Refusal: it holds half a surrogate pair, which is no character.
    """
    try:
        dialogue.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Refusal(
            422,
            f"a dialogue has half a surrogate pair at character {error.start}",
            hint="send UTF-8, or whole pairs such as \\ud83d\\ude00",
        ) from None  # the error holds the dialogue
    return dialogue
