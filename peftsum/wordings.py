"""The named wordings around a dialogue; quick to import, since the commands list them in their help."""

from __future__ import annotations

from peftsum.registry import Registry

PLACEHOLDER = "{dialogue}"

PROMPTS: Registry[str] = Registry(
    "prompt",
    {
        # The wordings of the Flan collection's dialogue summaries, as the field's notebooks use them.
        "raw": PLACEHOLDER,
        "instruct": f"Summarize this conversation:\n\n{PLACEHOLDER}",
        "structured": f"Summarize this conversation:\n\n{PLACEHOLDER}\n\nSummary:",
    },
)
