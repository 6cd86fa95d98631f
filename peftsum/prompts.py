"""Prompt templates: what stands around a dialogue before it goes into the encoder."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from peftsum.section import Section
from peftsum.wordings import PLACEHOLDER, PROMPTS

Speakers = Literal["as_written", "normalised"]

EXAMPLE_SEPARATOR = "\n\n\n"  # three newlines between solved examples, as the field's notebooks have it


class Prompt(Section):
    """What stands around the dialogue. The same in training and inference; it travels with the adapter."""

    kind: Literal["raw", "instruct", "structured", "template"] = "structured"
    """A named wording, or `template` for one's own."""
    template: str | None = Field(None, examples=["Write the topic:\n\n{dialogue}\n\nTopic:"])
    """One's own wording, with `{dialogue}` once; only with `kind: template`."""

    speakers: Speakers = "as_written"
    """What the model reads for the names of speakers: `as_written`, or `normalised`, #Person1#, #Person2#, …, for which
    their names are put back in every summary (docs/better-training.md). Roles, such as Clerk, stay."""

    @model_validator(mode="after")
    def _template_fits_kind(self) -> Self:
        if (self.kind == "template") != (self.template is not None):
            raise ValueError("`template` goes with `kind: template`, and only with it")
        if self.template is not None and self.template.count(PLACEHOLDER) != 1:
            raise ValueError(f"`template` needs {PLACEHOLDER} exactly once")
        return self

    @property
    def text(self) -> str:
        """The template, with ``{dialogue}`` in it."""
        return self.template if self.template is not None else PROMPTS[self.kind]

    @property
    def parts(self) -> tuple[str, str]:
        """The words before and after the dialogue."""
        before, after = self.text.split(PLACEHOLDER)
        return before, after

    def render(self, dialogue: str) -> str:
        """Return the full prompt of a dialogue."""
        before, after = self.parts
        return f"{before}{dialogue}{after}"

    def solve(self, dialogue: str, summary: str) -> str:
        """Return the prompt of a dialogue with its summary behind it: a solved example for few-shot prompting."""
        joint = "\n" if self.parts[1] else "\n\n"  # without closing words a summary would look like one more turn
        return f"{self.render(dialogue)}{joint}{summary}"
