"""Personal values out of a dialogue before it is summarised, and out of the summary after: text in, text out."""

from peftsum.redaction.finding import find
from peftsum.redaction.kinds import KINDS, LABELS, PLACEHOLDER, Kind, parse_kinds
from peftsum.redaction.redactor import Redacted, Redactor, redact_pair, restore, screen
from peftsum.redaction.view import Span

__all__ = [
    "KINDS",
    "LABELS",
    "PLACEHOLDER",
    "Kind",
    "Redacted",
    "Redactor",
    "Span",
    "find",
    "parse_kinds",
    "redact_pair",
    "restore",
    "screen",
]
