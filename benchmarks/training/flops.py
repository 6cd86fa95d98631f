"""The floating-point operations that a training step needs, from its shapes and the real lengths alone."""

from __future__ import annotations

from collections.abc import Iterable

from training.shapes import RANK, Shape, Tuning

FORMULA = """\
Useful operations of the timed steps, real tokens only (S of the source, T of the target of each dialogue).
A matrix of n x m costs a token 2nm forward, 2nm for the gradient of its input where anything below it is trained, and
2nm for its own gradient where it is trained. Encoder matrices (q k v o wi_0 wi_1 wo) and the decoder's cross k, v see
S tokens; the other decoder matrices and the head see T. LoRA adds its two matrices by the same rule. Attention's two
products cost 4 x width operations a pair of positions, three times over (forward, two gradients): S*S pairs in the
encoder, T(T+1)/2 in the decoder, T*S across. Embedding look-ups, norms, softmax, dropout and the optimizer count 0.
The peak is the best of several matrix products in the same process, in the arithmetic of the run."""

TARGETS = {"all-linear": {"q", "k", "v", "o", "wi", "wo"}, "qv": {"q", "v"}}
FIRST = ("q", "k", "v")  # of a first layer: below them lies only the embedding, which a frozen base does not train


def useful_flops(shape: Shape, tuning: Tuning, lengths: Iterable[tuple[int, int]]) -> dict[str, float]:
    """Return the operations of training once on dialogues of these lengths, by part; see :data:`FORMULA`.

    Args:
        shape: of the base.
        tuning: what is trained.
        lengths: (source, target) tokens of each dialogue, without padding.
    """
    pairs = list(lengths)
    source, target = sum(s for s, _ in pairs), sum(t for _, t in pairs)
    projections = {"q": 1, "k": 1, "v": 1, "o": 1}
    parts = dict.fromkeys(("encoder", "cross_kv", "decoder", "head", "adapters", "attention"), 0.0)

    def add(part: str, tokens: int, names: dict[str, int], *, first: bool = False) -> None:
        for name, count in names.items():
            fan_in, fan_out = _size(shape, name)
            input_grad = not (tuning.frozen and first and name in FIRST)
            passes = 1 + input_grad + (not tuning.frozen)
            parts[part] += 2.0 * passes * count * fan_in * fan_out * tokens
            if tuning.targets is not None and name in TARGETS[tuning.targets]:
                parts["adapters"] += 2.0 * count * RANK * ((2 + input_grad) * fan_in + 3 * fan_out) * tokens

    for layer in range(shape.encoder_layers):
        add("encoder", source, projections, first=layer == 0)
        add("encoder", source, {"wi": 2, "wo": 1})
    for layer in range(shape.decoder_layers):
        add("decoder", target, projections, first=layer == 0)
        add("decoder", target, {"wi": 2, "wo": 1})
        add("decoder", target, {"q": 1, "o": 1})
        add("cross_kv", source, {"k": 1, "v": 1})
    head_passes = 2 if tuning.frozen else 3
    parts["head"] = 2.0 * head_passes * shape.d_model * shape.vocabulary * target
    encoder = shape.encoder_layers * sum(s * s for s, _ in pairs)
    decoder = shape.decoder_layers * sum(t * (t + 1) / 2 + t * s for s, t in pairs)
    parts["attention"] = 3 * 4.0 * shape.inner * (encoder + decoder)
    return parts


def _size(shape: Shape, name: str) -> tuple[int, int]:
    """Return (in, out) of a matrix."""
    sizes = {"o": (shape.inner, shape.d_model), "wi": (shape.d_model, shape.d_ff), "wo": (shape.d_ff, shape.d_model)}
    return sizes.get(name, (shape.d_model, shape.inner))
