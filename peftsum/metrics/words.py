"""Words as detectors and coverage compare them: lower-case, stemmed, numbers in digits, and small closed classes."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

TOKEN = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?|\d+(?:[.:,]\d+)*|#person\d+#")
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")

FIRST_PERSON = frozenset("i me my mine myself im ive ill i'm i've i'll i'd".split())
SECOND_PERSON = frozenset("you your yours yourself yourselves u ur ya you're you'll you've you'd".split())
THIRD_SINGULAR = frozenset("he she him her his hers himself herself".split())
PRONOUNS = THIRD_SINGULAR | frozenset("they them their theirs themselves".split())
NEGATIONS = frozenset(
    "not no never none nothing nobody neither nor without cannot cant wont dont doesnt didnt isnt wasnt arent werent "
    "couldnt wouldnt shouldnt havent hasnt hadnt unable refuse refuses refused fail fails failed unfortunately "
    "barely hardly".split()
)
AGREEMENT = frozenset("yes yeah yep yup sure ok okay right exactly agree deal course definitely alright true".split())
FUNCTION_WORDS = (
    FIRST_PERSON
    | SECOND_PERSON
    | PRONOUNS
    | frozenset(
        "a an the and or but if then so as of at by for with about into to from in on off over under out up down "
        "is are was were be been being am do does did doing have has had having will would shall should can could "
        "may might must we us our ours ourselves it its itself this that these those there here what which who whom "
        "whose when where why how too very just also because while than both all any each few more most other some "
        "such only own same above after again against ago almost already although always another anybody anyone "
        "anything anyway around back before below between either else enough even ever every everybody everyone "
        "everything however least little maybe much now once one others perhaps quite rather really since somebody "
        "someone something sometimes soon still thing things though through until whatever whether whole within yet "
        "way n't s t d ll m o re ve y it's that's there's what's he's she's they're we're we'll we've let's lets "
        # what is left of "didn't" where the apostrophe is lost
        "aren couldn didn doesn don hadn hasn haven isn shouldn wasn weren won wouldn "
        # what people say to keep a conversation going
        "oh well hi hello hey thanks thank bye goodbye dear good please sorry welcome wow course mean see "
        "yes yeah ok okay okey right sure like get gets getting got go going gonna done let "
        # what every summary of a conversation says, whoever is right
        "know think want tell tells told say says said ask asks asked".split()
    )
)
NUMBER_WORDS = {
    **{
        word: str(value)
        for value, word in enumerate(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
            "seventeen eighteen nineteen twenty".split()
        )
    },
    **{"thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90"},
    **{"hundred": "100", "thousand": "1000", "million": "1000000", "dozen": "12"},
}
CIRCUMSTANCES = frozenset(
    "monday tuesday wednesday thursday friday saturday sunday january february march april june july august september "
    "october november december today tonight tomorrow yesterday morning noon afternoon evening night midnight week "
    "weekend month year hour minute am pm o'clock spring summer autumn winter early late later before after".split()
)


@functools.cache
def _stemmer() -> Callable[[str], str]:
    from peftsum.metrics.rouge import CachedTokenizer

    return CachedTokenizer().stem  # a word is stemmed once, for ROUGE and for the detectors alike


def tokens(text: str) -> list[str]:
    """Return the words and numbers of a text in lower case; "don't" is one word."""
    return TOKEN.findall(text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").lower())


def without_genitive(token: str) -> str:
    """Return "anna" for "anna's"."""
    return token.removesuffix("'s")


def normalised(token: str) -> str:
    """Return what two words are compared by: the stem, or a number in digits ("five" and "5", "5.30" and "5:30")."""
    token = without_genitive(token)
    token = NUMBER_WORDS.get(token, token)
    if token[0].isdigit():
        return token.replace(".", ":") if re.fullmatch(r"\d{1,2}\.\d\d", token) else token.replace(",", "")
    return _stemmer()(token)


def is_number(token: str) -> bool:
    """Whether a token is a number; "one" is not, which is a pronoun as often."""
    return token[0].isdigit() or (token in NUMBER_WORDS and token != "one")


def is_negation(token: str) -> bool:
    """Whether a token turns what is said into its opposite."""
    return token in NEGATIONS or token.endswith("n't")


def carries_content(token: str) -> bool:
    """Whether a token says what something is about."""
    return token not in FUNCTION_WORDS and not is_negation(token)


def sentences(text: str) -> list[str]:
    """Return the sentences of a summary."""
    return [part for part in SENTENCE_END.split(text.strip()) if part]
