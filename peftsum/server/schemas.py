"""What is asked and answered over HTTP; the OpenAPI page is made from these."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from peftsum.answers import GeneratedBy, ReadFor
from peftsum.confidence import Confidence
from peftsum.cost.readings import Reading
from peftsum.flags import Flag
from peftsum.redaction import KINDS, Kind
from peftsum.section import Record
from peftsum.server.limits import (
    LONGEST_ID,
    LONGEST_NAME,
    MOST_ADAPTERS,
    MOST_BEAMS,
    MOST_DIALOGUE_CHARACTERS,
    MOST_DIALOGUES,
    MOST_NEW_TOKENS,
)
from peftsum.support import Source, SupportingTurn


def _whole(value: object) -> object:
    """Return 7 for 7.0: to JSON they are the same number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Text = Annotated[str, StringConstraints(min_length=1, max_length=MOST_DIALOGUE_CHARACTERS, pattern=r"\S")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_NAME)]
Id = Annotated[str, StringConstraints(max_length=LONGEST_ID)]


class Asked(BaseModel):
    """A part of a request: unknown keys and other types than said are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class Settings(Asked):
    """How summaries are written; what is not given is the adapter's own."""

    max_new_tokens: Annotated[int, Field(ge=1, le=MOST_NEW_TOKENS), BeforeValidator(_whole)] | None = None
    """Longest summary in tokens."""
    num_beams: Annotated[int, Field(ge=1, le=MOST_BEAMS), BeforeValidator(_whole)] | None = None
    """Beams; 1 is greedy."""
    no_repeat_ngram_size: Annotated[int, Field(ge=0, le=16), BeforeValidator(_whole)] | None = None
    """No n-gram of this size twice in a summary; 0 is off."""
    repetition_penalty: float | None = Field(None, gt=0, le=10)
    """Penalty on tokens already written; 1 is off."""
    length_penalty: float | None = Field(None, ge=-10, le=10)
    """Exponent on the length in beam scores."""
    strategy: Literal["truncate", "staged"] | None = None
    """For a dialogue beyond the context: cut its end and say so, or read it whole, in parts."""
    explain: bool = True
    """Give `confidence`, `flags` and `sources` too; without, they are null, and the answer comes a little sooner."""

    def overrides(self) -> dict[str, Any]:
        """Return the generation settings that are given."""
        return self.model_dump(exclude={"explain"}, exclude_none=True)


class Dialogue(Asked):
    """A dialogue to summarize."""

    id: Id | None = None
    """Comes back beside its summaries; by default its number, from 1."""
    dialogue: Text
    """A turn a line, `Name: text`."""


def _exclusive(schema: dict[str, Any]) -> None:
    """Say in the schema what :meth:`SummariesRequest._one_of_each` checks."""
    for name in ("adapters", "dialogue", "dialogues"):
        schema["properties"][name].pop("default")  # it stands for "not given", and may not be sent
    schema["allOf"] = [
        {"oneOf": [{"required": ["dialogue"]}, {"required": ["dialogues"]}]},
        {"not": {"required": ["adapter", "adapters"]}},
    ]


class SummariesRequest(Asked):
    """Dialogues, and the adapters that are to summarize each of them."""

    model_config = ConfigDict(json_schema_extra=_exclusive)

    adapter: Name | None = None
    """The adapter's name; null, or left out, is the bare base."""
    adapters: list[Name | None] = Field(default=[], min_length=1, max_length=MOST_ADAPTERS)
    """Several that answer side by side, instead of `adapter`; null is the bare base."""
    dialogue: Text = ""
    """One dialogue, a turn a line."""
    dialogues: list[Dialogue] = Field(default=[], min_length=1, max_length=MOST_DIALOGUES)
    """Several, instead of `dialogue`."""
    settings: Settings = Settings()
    redact: list[Literal[Kind, "all"]] = Field(default=[], max_length=len(KINDS))
    """Kinds of personal values that placeholders stand for before the model reads a dialogue, beside the server's;
    `all` is every kind but `name`."""
    restore: bool = False
    """Put the values back into the answer; they are kept nowhere."""

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        given = self.model_fields_set
        if ("dialogue" in given) == ("dialogues" in given):
            raise ValueError("give either `dialogue` or `dialogues`")
        if {"adapter", "adapters"} <= given:
            raise ValueError("give either `adapter` or `adapters`")
        return self

    @property
    def names(self) -> list[str | None]:
        """The adapters that are asked, in order; None is the bare base."""
        return list(self.adapters) if "adapters" in self.model_fields_set else [self.adapter]

    @property
    def texts(self) -> list[tuple[str, str]]:
        """The id and the text of each dialogue, in order."""
        if "dialogue" in self.model_fields_set:
            return [("-", self.dialogue)]
        return [(str(i) if d.id is None else d.id, d.dialogue) for i, d in enumerate(self.dialogues, start=1)]


class Summary(Record):
    """One summary by one adapter: an entry of `summaries` that `peftsum summarize --json` prints, and its id."""

    id: str
    """Of the dialogue; "-" where one came without."""
    adapter: str | None
    summary: str
    generated_by: GeneratedBy
    confidence: Confidence | None = None
    """Null where `explain` is false."""
    flags: list[Flag] | None = None
    """Null where `explain` is false."""
    sources: list[Source] | None = None
    """Null where `explain` is false."""
    read: ReadFor
    redacted: dict[str, int] | None = None
    """Values of the dialogue that placeholders stand for, by kind; null where nothing was to be redacted."""


class Turns(Record):
    """A dialogue as it was understood: its turns, numbered as `sources` and `flags` number them."""

    id: str
    turns: list[SupportingTurn]


class SummariesResponse(Record):
    """The summaries of a request: each dialogue by each adapter, dialogues in the order of the request."""

    summaries: list[Summary]
    dialogues: list[Turns] | None = None
    """The turns of each dialogue, which the page shows; null where `explain` is false."""
    seconds: float
    """From the request's arrival to this answer, waiting included."""
    energy: Reading
    """Joules with source and range; `value` is null where there is a reason."""


class BaseInfo(Record):
    """The base that all adapters sit on."""

    name: str
    revision: str | None
    device: str
    adapters_resident: int
    adapter_bytes: int
    """Of all adapters in memory, with the room they share."""


class AdapterInfo(Record):
    """One adapter of the folder."""

    name: str
    method: str
    rank: int | None
    """Of LoRA and its kin."""
    bytes: int
    """Of its weights' file."""
    base: str | None
    """That it says it was trained on."""
    resident: bool
    """In memory now; one that is not is loaded on first use."""
    resident_bytes: int
    """That it takes there, 0 where it is not."""
    apart: bool | None
    """It cannot share a batch with others; null where it was not loaded yet."""
    problem: str | None
    """Why it cannot be loaded, as far as its files tell."""


class AdaptersResponse(Record):
    """The base and the adapters of the folder."""

    base: BaseInfo
    adapters: list[AdapterInfo]


class Health(Record):
    """Whether requests are taken."""

    status: Literal["ok", "stopping"]
    queued: int
    """Summaries that wait."""
    running: int
    """Rows in progress."""


class Problem(Record):
    """Why a request was refused."""

    error: str
    hint: str
    """What to do."""
