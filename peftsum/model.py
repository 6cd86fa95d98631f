"""The base: where its files are, its tokenizer, precision, quantization and attention kernel."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from peftsum.cost.machine import describe_machine
from peftsum.engine.allocator import bound_kernel_caches, give_back_freed_memory
from peftsum.exceptions import HubError, ModelError
from peftsum.hub import go_offline_if_unreachable
from peftsum.imports import quick_imports
from peftsum.recipe import Model
from peftsum.registry import nearest

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

BUILTIN = {"builtin:tiny": "tiny"}
HUB_ID = re.compile(r"^[\w.-]+(/[\w.-]+)?$")


@dataclass(frozen=True)
class Base:
    """A loaded base."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    """As the recipe has it."""
    revision: str
    """Content hash of a local base, commit of one from the Hub."""
    autocast: bool
    """True where the arithmetic is bf16 and the weights are fp32, so that the forward pass needs autocast."""


def load_base(model: Model, *, frozen: bool, device: str, dropout: float | None = None) -> Base:
    """Load a base for training or inference.

    Args:
        model: the recipe's section.
        frozen: True where its weights will not change; they are then held in bf16 when the arithmetic is bf16. Full
            tuning keeps fp32 weights under autocast, since pure bf16 weights learn less.
        device: "cpu" or "cuda", "cuda:1", ….
        dropout: probability to set in every layer, or None for the base's own.

    Raises:
        ModelError: nothing is there, the files are damaged, or it is no T5.
        HubError: a Hub id, and the Hub cannot be reached.
    """
    with quick_imports():
        import torch
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    bound_kernel_caches()
    bf16 = precision(model.precision, device) == "bf16"
    dtype = torch.bfloat16 if bf16 and frozen else torch.float32
    source, options = _location(model)
    with _loading(model.base), quiet_load():
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
        net, report = AutoModelForSeq2SeqLM.from_pretrained(
            source,
            dtype=dtype,
            attn_implementation=attention_kernel(model.attention),
            output_loading_info=True,
            **quantization(model.quantize, device),
            **options,
        )
    _check_complete(report["missing_keys"], model.base)
    _check_encoder_decoder(net, model.base)
    if model.quantize == "nf4":
        keep_nf4_plain(net)
    if model.quantize == "int8":
        keep_8_bit_scales(net)
    if model.quantize == "none":
        net = net.to(device)
    elif device == "cpu":
        _leave_the_file(net)
    if dropout is not None:
        set_dropout(net, dropout)
    return Base(net, tokenizer, model.base, base_revision(model, net), autocast=bf16 and not frozen)


def _leave_the_file(net: Any) -> None:
    """Copy the weights that quantization left out of the mapped file, of which they would hold all in memory.

    A Flan-T5-base in 8 bits held 751 MB of its file beside its weights, and 324 MB that loading had freed.
    """
    give_back_freed_memory()
    for tensor in (*net.parameters(), *net.buffers()):
        if tensor.is_floating_point():
            tensor.data = tensor.data.clone()


def load_tokenizer(model: Model) -> PreTrainedTokenizerBase:
    """Load the tokenizer alone, for checks before the weights; errors as :func:`load_base`."""
    with quick_imports():
        from transformers import AutoTokenizer

    source, options = _location(model)
    with _loading(model.base):
        return AutoTokenizer.from_pretrained(source, **options)


def is_plain_t5(model: Model) -> bool:
    """Tell by its configuration whether a base is a T5, and not one of its relatives with attention of their own."""
    return bool(read_config(model).model_type == "t5")


def read_config(model: Model) -> PretrainedConfig:
    """Return a base's configuration, without weights; errors as :func:`load_base`."""
    from transformers import AutoConfig

    source, options = _location(model)
    with _loading(model.base):
        return AutoConfig.from_pretrained(source, **options)


def precision(wanted: Literal["auto", "bf16", "fp32"], device: str) -> Literal["bf16", "fp32"]:
    """Return the arithmetic to use: bf16 where asked for or, under ``auto``, where the device computes in it."""
    if wanted != "auto":
        return wanted
    return "bf16" if has_bf16(device) else "fp32"


def has_bf16(device: str) -> bool:
    """Tell whether bf16 is the faster arithmetic on the device.

    On a CPU that takes AMX, or AMD's AVX512-BF16 (Zen 4 and later). An Intel without AMX that has the instruction
    multiplies matrices at half the speed of fp32 (docs/results.md). Not timed at run time: beside other work a timing
    can fall either way, and a run must be repeatable.
    """
    import torch

    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if torch.cpu._is_amx_tile_supported():
        return True
    return bool(torch.cpu._is_avx512_bf16_supported()) and "AMD" in (describe_machine().cpu or "")


def attention_kernel(wanted: Literal["auto", "shared", "eager", "sdpa"]) -> str:
    """Return transformers' name of the attention kernel, registered where it is ours."""
    if wanted in {"eager", "sdpa"}:
        return wanted
    with quick_imports():
        from peftsum.engine.attention import SHARED, register

    register()
    return SHARED


def default_device() -> str:
    """Return "cuda" where there is one, else "cpu"."""
    with quick_imports():
        import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def quantization(quantize: Literal["none", "int8", "nf4"], device: str) -> dict[str, object]:
    """Return what ``from_pretrained`` needs to load the linear layers in 8 or 4 bits."""
    if quantize == "none":
        return {}
    import torch
    from transformers import BitsAndBytesConfig

    if quantize == "int8":
        config = BitsAndBytesConfig(load_in_8bit=True)
    else:
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    # by number: accelerate takes "cuda" and "cuda:0" for two devices and refuses to train
    place: str | int = torch.device(device).index or 0 if device.startswith("cuda") else device
    return {"quantization_config": config, "device_map": {"": place}}


def keep_nf4_plain(model: torch.nn.Module) -> None:
    """Stop bitsandbytes from repacking NF4 weights for AVX512-BF16 in an eval-mode forward pass.

    A dequantization, merge or attachment after such a pass reads the repacked bytes as if they were not, and is wrong
    (relative error 1.3 instead of 0.3) without a word.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            setattr(module, "support_avx512bf16_for_cpu", False)  # noqa: B010  # mypy takes Module's attributes for tensors


def keep_8_bit_scales(model: torch.nn.Module) -> None:
    """Stop bitsandbytes from forgetting the scales of 8-bit weights that were moved after a first pass.

    peft's DoRA moves the weights in each pass on a CPU. A moved weight brings its values but no scales, and
    bitsandbytes then takes both from it, so that the second pass fails.
    """
    for module in model.modules():
        if hasattr(module, "init_8bit_state"):
            setattr(module, "init_8bit_state", partial(_take_state, module))  # noqa: B010  # as above


def _take_state(layer: Any) -> None:
    """As ``Linear8bitLt.init_8bit_state``, but scales that the weight lacks stay as they are."""
    layer.state.CB = layer.weight.CB
    if layer.weight.SCB is not None:
        layer.state.SCB = layer.weight.SCB
    layer.weight.CB = layer.weight.SCB = None


def set_dropout(model: torch.nn.Module, probability: float) -> None:
    """Set the dropout of every layer; the config, and so what is saved, keeps the base's own."""
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = probability
        elif isinstance(getattr(module, "dropout", None), float | int):  # T5Attention keeps a number
            setattr(module, "dropout", probability)  # noqa: B010  # mypy takes Module's attributes for tensors


def count_parameters(model: torch.nn.Module) -> tuple[int, int]:
    """Return trainable and total parameters; a 4-bit weight holds two in a byte."""
    trainable = total = 0
    for parameter in model.parameters():
        count = parameter.numel()
        if type(parameter).__name__ == "Params4bit":
            count *= 2
        total += count
        trainable += parameter.numel() if parameter.requires_grad else 0
    return trainable, total


def base_revision(model: Model, net: PreTrainedModel | None = None) -> str:
    """Return what identifies the base's content: a hash of a local folder, the commit of a Hub model."""
    folder = local_folder(model.base)
    if folder is None:
        commit = getattr(net.config, "_commit_hash", None) if net is not None else None
        return str(commit or model.revision or "unknown")
    return content_hash([*sorted(folder.glob("*.safetensors")), folder / "config.json"])


def content_hash(paths: Sequence[Path]) -> str:
    """Return a hash of the files' contents, read anew only where size or time of change are new."""
    states = ((path, path.stat()) for path in paths)
    return _hash_of(tuple((path.resolve(), state.st_size, state.st_mtime_ns) for path, state in states))


@lru_cache(maxsize=256)
def _hash_of(versions: tuple[tuple[Path, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for path, _, _ in versions:
        with path.open("rb") as handle:
            while block := handle.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:16]


def local_folder(base: str) -> Path | None:
    """Return the folder of a built-in or local base, or None for a Hub id.

    Raises:
        ModelError: the name looks like a path or a built-in, and nothing is there.
    """
    if base in BUILTIN:
        return Path(str(files("peftsum.builtin") / BUILTIN[base]))
    if base.startswith("builtin:"):
        guess = nearest(base, BUILTIN)
        raise ModelError(
            f"no built-in base named {base}", hint=f"did you mean {guess}?" if guess else f"known: {', '.join(BUILTIN)}"
        )
    path = Path(base).expanduser()
    if (path / "config.json").is_file():
        return path
    if path.exists():
        raise ModelError(
            f"{base} is no model folder: it has no config.json", hint="name a folder that transformers wrote"
        )
    if base.startswith((".", "/", "~")) or not HUB_ID.match(base):
        raise ModelError(f"no model at {base}", hint="check the path; a Hub id is owner/name")
    return None


def _location(model: Model) -> tuple[str, dict[str, object]]:
    folder = local_folder(model.base)
    if folder is not None:
        return str(folder), {"local_files_only": True}
    go_offline_if_unreachable()
    return model.base, {"revision": model.revision} if model.revision else {}


@contextmanager
def _loading(name: str) -> Iterator[None]:
    """Turn what transformers raises while loading into our errors."""
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        raise ModelError(f"the weights of {name} are damaged ({error})", hint="copy or download them again") from error
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        text = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        if local_folder(name) is None and re.search(r"connect|offline|couldn't|resolve|timed? ?out|reach", text, re.I):
            raise HubError(
                f"cannot reach the Hub for {name}",
                hint="check the network or HF_ENDPOINT, or use a local folder or builtin:tiny",
            ) from error
        raise ModelError(
            f"cannot load {name}: {text}", hint="it must be an encoder-decoder such as google/flan-t5-base"
        ) from error


@contextmanager
def quiet_load() -> Iterator[None]:
    """Silence the loading bar, and the warning that T5's own untied head is loaded as it should be."""
    from transformers.utils import logging as transformers_logging

    level = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


def _check_complete(missing: Iterable[str], name: str) -> None:
    """Refuse files that lack weights: transformers fills them with random numbers and only warns."""
    lacking = sorted(missing)
    if lacking:
        raise ModelError(
            f"the files of {name} lack {len(lacking)} of its weights, for example {lacking[0]}",
            hint="copy or download them again",
        )


def _check_encoder_decoder(net: PreTrainedModel, name: str) -> None:
    if net.config.model_type not in {"t5", "mt5", "umt5", "longt5"}:
        raise ModelError(
            f"{name} is a {net.config.model_type}, not a T5", hint="take google/flan-t5-base or another T5"
        )
