"""The tokenizer of the built-in base: a unigram model that keeps digits, turns and `#Person1#` labels apart.

A turn starts with its speaker, and a summary names that speaker in mid-sentence: both must be the same piece, or
copying a name means translating it. So a newline is a piece of its own, and the word after it is written as after a
space.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram
from tokenizers.trainers import UnigramTrainer

VOCAB_SIZE = 8192
EXTRA_IDS = 100  # sentinels of span corruption, at the end of the vocabulary and descending, as T5 has them
PERSONS = 8  # `#Person1#` … `#Person8#`: a common way to write anonymised speakers
PAD, EOS, UNK = "<pad>", "</s>", "<unk>"
PERSON_SCORE = -6.0  # log-probability of a person label: far above what its characters add up to
BYTE_SCORE = -20.0


def sentinel(index: int) -> int:
    """Id of `<extra_id_{index}>`."""
    return VOCAB_SIZE - 1 - index


def _bare(model: Unigram) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.Replace(Regex("[\u2018\u2019\u00b4]"), "'"),
            normalizers.Replace(Regex("[\u201c\u201d]"), '"'),
            normalizers.Replace(Regex("[\t\u00a0 ]+"), " "),
            normalizers.Replace(Regex(" ?\r?\n ?"), "\n"),
            normalizers.Replace(Regex("\n(?=[^\n])"), "\n "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="first", split=True),
            pre_tokenizers.Split(
                Regex('\n|\u2581?#Person[0-9]#|\u2581?[0-9]|\u2581?[.]+|\u2581?[,:;!?"()\\[\\]/$%&*+=@-]'), "isolated"
            ),
        ]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
            decoders.Replace("\n ", "\n"),
        ]
    )
    return tokenizer


def train_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Train on `texts`; returns a tokenizer of exactly `VOCAB_SIZE` pieces that appends `</s>`."""
    persons = [f"{space}#Person{n}#" for n in range(1, PERSONS + 1) for space in ("\u2581", "")]
    extra_bytes = [f"<0x{value:02X}>" for value in range(256)]
    sentinels = [f"<extra_id_{n}>" for n in reversed(range(EXTRA_IDS))]
    head = [PAD, EOS, UNK]
    spaced = [f"\u2581{c}" for c in '0123456789$("']  # else the space before them costs a piece
    must = ["\n", "\u2581", *"0123456789", *spaced]
    learned = VOCAB_SIZE - len(head) - len(persons) - len(extra_bytes) - len(sentinels) - len(must)
    tokenizer = _bare(Unigram())
    alphabet = [chr(c) for c in range(33, 127)]
    trainer = UnigramTrainer(
        vocab_size=learned + len(must) + 200, special_tokens=[UNK], unk_token=UNK, initial_alphabet=alphabet,
        max_piece_length=16, show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    scores = {piece: float(score) for piece, score in json.loads(tokenizer.to_str())["model"]["vocab"]}
    fixed = {*head, *persons, *must}
    single = sorted((p for p in scores if len(p) == 1 and p not in fixed and ord(p) < 127), key=lambda p: -scores[p])
    longer = sorted(
        (p for p in scores if p not in fixed and p not in single and "#Person" not in p), key=lambda p: -scores[p]
    )
    pieces = (single + longer)[:learned]
    if len(pieces) < learned:  # a small corpus: pad the vocabulary with pieces that never occur
        pieces += [f"<unused_{n}>" for n in range(learned - len(pieces))]
    vocab: list[tuple[str, float]] = [(piece, 0.0) for piece in head]
    vocab += [(piece, PERSON_SCORE if piece in spaced else round(scores.get(piece, -10.0), 4)) for piece in must]
    vocab += [(piece, PERSON_SCORE) for piece in persons]
    vocab += [(piece, round(scores.get(piece, -30.0), 4)) for piece in pieces]
    vocab += [(piece, BYTE_SCORE) for piece in extra_bytes]
    vocab += [(piece, 0.0) for piece in sentinels]
    done = _bare(Unigram(vocab, unk_id=2, byte_fallback=True))
    done.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in (*head, *sentinels)])
    done.post_processor = processors.TemplateProcessing(
        single=f"$A {EOS}", pair=f"$A {EOS} $B {EOS}", special_tokens=[(EOS, 1)]
    )
    if done.get_vocab_size() != VOCAB_SIZE:
        raise ValueError(f"the vocabulary has {done.get_vocab_size()} pieces, not {VOCAB_SIZE}")
    return done


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write tokenizer.json (compact) and tokenizer_config.json, as `AutoTokenizer.from_pretrained` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    compact = json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":"))
    (folder / "tokenizer.json").write_text(compact, encoding="utf-8")
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": 512,
        "pad_token": PAD,
        "eos_token": EOS,
        "unk_token": UNK,
        "extra_special_tokens": [f"<extra_id_{n}>" for n in range(EXTRA_IDS)],
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
