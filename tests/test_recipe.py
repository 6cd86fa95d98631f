"""Recipes: read strictly, overridden by YAML values, all errors at once, a fingerprint of what shapes the weights."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from peftsum.exceptions import RecipeError
from peftsum.methods import METHODS
from peftsum.metrics.selection import selectable_scores
from peftsum.recipe import Generation, Recipe
from peftsum.recipe_file import load_recipe, parse_recipe, recipe_reference

LORA = "name: a\nmethod: {kind: lora}\n"


def problems(text: str, *overrides: str) -> list[str]:
    """Return the lines of the error that a recipe gives."""
    with pytest.raises(RecipeError) as raised:
        parse_recipe(text, name="r.yaml", overrides=overrides)
    assert raised.value.hint
    return raised.value.message.splitlines()


def problem(text: str, *overrides: str) -> str:
    """Return the one line of the error that a recipe gives."""
    (line,) = problems(text, *overrides)
    return line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (LORA + "tran: {epochs: 2}", "r.yaml:3: unknown key tran; did you mean train?"),
        (LORA + "train:\n  epoch: 2", "r.yaml:4: unknown key train.epoch; did you mean epochs?"),
        ("name: a\nmethod: {kind: lora, rnak: 3}", "r.yaml:2: unknown key method.rnak; did you mean rank?"),
        (LORA + "data:\n  fields: {dialog: x}", "r.yaml:4: unknown key data.fields.dialog; did you mean dialogue?"),
        (LORA + "train: {best_by: rougeL}", "r.yaml:3: unknown key train.best_by; did you mean select_by?"),
        (LORA + "train: {select_by: rougel}", "r.yaml:3: train.select_by: no such score; did you mean rougeL? known: "
         f"{', '.join(selectable_scores())} (got 'rougel')"),
        (LORA + "1: 2", "r.yaml:3: 1: keys should be strings (got 1)"),
        (LORA + "prompt: {kind: instrct}", "r.yaml:3: prompt.kind: input should be 'raw', 'instruct', 'structured' or "
         "'template' (got 'instrct'; did you mean instruct?)"),
        ("name: a\nmethod:\n  kind: lroa", "r.yaml:3: method.kind is no method (got 'lroa'; did you mean lora? "
         "known: full, lora, ia3)"),
        ("name: a\nmethod: {}", "r.yaml:2: method.kind is missing; known: full, lora, ia3"),
        ("name: a\nmethod: lora", "r.yaml:2: method: should be a section of keys, such as `kind: lora` (got 'lora')"),
        (LORA + "train: 3", "r.yaml:3: train: should be a section of keys (got 3)"),
        (LORA + "model:", "r.yaml:3: model: should be a section of keys (got None)"),
        ("method: {kind: full}", "r.yaml:1: name is missing"),
        ("name: a\n", "r.yaml:1: method is missing"),
        (LORA + "name: b", "r.yaml:3: name stands twice"),
        (LORA + "train: {epochs: 2, epochs: 3}", "r.yaml:3: train.epochs stands twice"),
        ("name: a\nmethod: {kind: lora, targets: all-liner}", "r.yaml:2: method.targets: input should be 'all-linear', "
         "'attention', 'qv' or 'decoder' (got 'all-liner'; did you mean all-linear?)"),
        ("name: a\nmethod: {kind: lora, targets: [q, 3]}",
         "r.yaml:2: method.targets.1: input should be a valid string (got 3)"),
        ("name: a\nmethod: {kind: lora, rank: yes}",
         "r.yaml:2: method.rank: input should be a valid integer (got True)"),
        (LORA + "train: {learning_rate: .inf}",
         "r.yaml:3: train.learning_rate: input should be a finite number (got inf)"),
        (LORA + "train:\n  seed: -1",
         "r.yaml:4: train.seed: input should be greater than or equal to 0 (got -1)"),
        ("name: a\nmethod: {kind: full}\nmodel:\n  base: b\n  quantize: int8",
         "r.yaml:5: model.quantize: int8 cannot go with method.kind: full, since quantized weights cannot be trained; "
         "take quantize: none, or method.kind: lora"),
        (LORA + "generation: {min_new_tokens: 80}",
         "r.yaml:3: generation: `min_new_tokens` (80) is more than `max_new_tokens` (64)"),
        (LORA + "generation: {temperature: 0.7}",
         "r.yaml:3: generation: `temperature`, `top_k` and `top_p` act only with `do_sample: true`"),
    ],
)  # fmt: skip
def test_an_error_is_named_with_line_path_value_and_suggestion(text: str, line: str) -> None:
    assert problem(text) == line


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("train.epochs=0", "--set train.epochs=0: train.epochs: input should be greater than 0 (got 0)"),
        ("tran.epochs=2", "--set tran.epochs=2: unknown key tran; did you mean train?"),
        ("method.kind=lroa", "--set method.kind=lroa: method.kind is no method (got 'lroa'; did you mean lora? "
         "known: full, lora, ia3)"),
        ("method={kind: lora, rank: 0}",
         "--set method={kind: lora, rank: 0}: method.rank: input should be greater than 0 (got 0)"),
        ("model.quantize=int8", "--set model.quantize=int8: model.quantize: int8 cannot go with method.kind: full, "
         "since quantized weights cannot be trained; take quantize: none, or method.kind: lora"),
        ("train.epochs", "--set train.epochs: not of the form a.b=value"),
        ("=3", "--set =3: not of the form a.b=value"),
        ("train..epochs=3", "--set train..epochs=3: not of the form a.b=value"),
        ("train.epochs=[", "--set train.epochs=[: the value is not YAML"),
        ("train.epochs=2024-13-45", "--set train.epochs=2024-13-45: the value is not YAML"),
    ],
)  # fmt: skip
def test_an_error_of_an_override_names_the_override(override: str, line: str) -> None:
    assert problem("name: a\nmethod: {kind: full}\n", override) == line


def test_all_errors_of_a_file_come_at_once_each_with_its_line() -> None:
    text = "name: ../up\nmethod:\n  kind: lora\n  rank: 0\n  alpha: much\ntrain:\n  epochs: 1\n  epochs: 2\n  epok: 3\n"
    found = problems(text)
    assert sorted(line.split(": ")[0] for line in found) == ["r.yaml:1", "r.yaml:4", "r.yaml:5", "r.yaml:8", "r.yaml:9"]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("name: [\n", "r.yaml:2"),
        ("name: a\nmethod: {kind: lora\n", "r.yaml:3"),
        ("a: *b", "r.yaml:1"),
        ("x: 1\ny: !!python/object:os.system {}", "r.yaml:2"),
        ("x: 1\ny: \x00", "r.yaml:2"),
        ("name: a\nmethod: {kind: lora}\nx: 2024-13-45", "r.yaml"),
        ("? [a, b]\n: 3", "r.yaml:1"),
        ("- a\n- b", "r.yaml"),
        ("just words", "r.yaml"),
        ("--- {}\n--- {}", "r.yaml:2"),
        ("[" * 600, "r.yaml"),
    ],
)
def test_what_is_no_recipe_at_all_is_named_by_its_place(text: str, where: str) -> None:
    assert problem(text).startswith(f"{where}: ")


def test_a_section_that_holds_itself_is_an_error_like_another() -> None:
    assert "r.yaml:3: unknown key x" in problem(LORA + "x: &x [*x]")


def test_a_large_wrong_value_is_shown_shortened() -> None:
    assert len(problem(LORA + f"train: {{epochs: {'x' * 10_000}}}")) < 300
    assert len(problem(LORA + f"train: [{', '.join(['1'] * 1_000)}]")) < 300


@given(st.text(max_size=60))
@settings(deadline=None)
def test_no_text_breaks_the_reader(text: str) -> None:
    with suppress(RecipeError):
        parse_recipe(text)


@given(st.text(max_size=40))
@settings(deadline=None)
def test_no_override_breaks_the_reader(override: str) -> None:
    with suppress(RecipeError):
        parse_recipe(LORA, overrides=[override])


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("train.epochs=2", "train.epochs", 2.0),
        ("train.learning_rate=1e-3", "train.learning_rate", 1e-3),
        ("train.learning_rate=5E-3", "train.learning_rate", 5e-3),
        ("train.max_grad_norm=null", "train.max_grad_norm", None),
        ("method.dora=true", "method.dora", True),
        ("method.targets=[q, v]", "method.targets", ["q", "v"]),
        ("data.fields={dialogue: x, summary: y}", "data.fields", {"dialogue": "x", "summary": "y"}),
        ("data.fields.summary=topic", "data.fields", {"summary": "topic"}),
        ("data.source=s3://a=b", "data.source", "s3://a=b"),
        ('data.source="12"', "data.source", "12"),
        ("name=other", "name", "other"),
    ],
)
def test_an_override_is_typed_as_yaml_and_split_at_its_first_equals_sign(
    override: str, path: str, value: object
) -> None:
    found: object = parse_recipe(LORA, overrides=[override])
    for key in path.split("."):
        found = getattr(found, key)
    assert found == value


def test_a_later_override_wins_and_the_file_keeps_the_rest() -> None:
    recipe = parse_recipe(LORA + "train: {epochs: 3, seed: 5}", overrides=["train.epochs=1", "train.epochs=2"])
    assert (recipe.train.epochs, recipe.train.seed) == (2, 5)


def test_a_recipe_is_frozen() -> None:
    with pytest.raises(ValidationError):
        parse_recipe(LORA).train.epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize("kind", list(METHODS))
def test_a_resolved_recipe_reads_back_the_same(kind: str) -> None:
    recipe = parse_recipe(f"name: a\nmethod: {{kind: {kind}}}\ngeneration: {{do_sample: true, top_p: 0.9}}")
    again = Recipe.model_validate_json(recipe.model_dump_json())
    assert again == recipe
    assert again.fingerprint == recipe.fingerprint


@pytest.mark.parametrize(("kind", "rate"), [("full", 1e-4), ("lora", 1e-3), ("ia3", 1e-3)])
def test_the_default_rate_of_an_adapter_is_ten_times_that_of_full_tuning(kind: str, rate: float) -> None:
    assert parse_recipe(f"name: a\nmethod: {{kind: {kind}}}").learning_rate == pytest.approx(rate)
    assert parse_recipe(f"name: a\nmethod: {{kind: {kind}}}\ntrain: {{learning_rate: 0.5}}").learning_rate == 0.5


@pytest.mark.parametrize(
    "override",
    [
        "model.base=x",
        "data.source=x",
        "prompt.kind=raw",
        "method.rank=3",
        "train.epochs=3",
        "train.seed=1",
        "train.select_by=rougeL",
    ],
)
def test_the_fingerprint_changes_with_what_shapes_the_weights(override: str) -> None:
    assert parse_recipe(LORA, overrides=[override]).fingerprint != parse_recipe(LORA).fingerprint


@pytest.mark.parametrize(
    "override",
    ["name=b", "generation.num_beams=4", "cost.energy=false", "train.keep_checkpoints=9", "train.trackers=[wandb]"],
)
def test_the_fingerprint_stays_with_what_does_not(override: str) -> None:
    assert parse_recipe(LORA, overrides=[override]).fingerprint == parse_recipe(LORA).fingerprint


@pytest.mark.parametrize("quantize", ["int8", "nf4"])
def test_a_quantized_base_goes_with_an_adapter_only(quantize: str) -> None:
    assert parse_recipe(LORA, overrides=[f"model.quantize={quantize}"]).model.quantize == quantize
    assert "cannot be trained" in problem("name: a\nmethod: {kind: full}", f"model.quantize={quantize}")


def test_the_reference_names_every_key_with_its_meaning() -> None:
    reference = recipe_reference()
    for name, field in Recipe.model_fields.items():
        assert f"{name}:" in reference
        for key in getattr(field.annotation, "model_fields", {}):
            assert f"  {key}: " in reference
    for kind, method in METHODS.items():
        assert f"method:  # kind: {kind}" in reference
        assert all(f"  {key}: " in reference for key in method.model_fields if key != "kind")
    entries = [line for line in reference.splitlines() if line.startswith("  ")]
    assert all(line.partition("  # ")[2] for line in entries)


def test_sampling_settings_are_taken_with_sampling() -> None:
    assert Generation(do_sample=True, temperature=0.7).temperature == 0.7


def test_a_byte_order_mark_is_no_part_of_the_recipe(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + LORA.encode())
    assert load_recipe(path).name == "a"


def test_a_misspelt_recipe_file_is_answered_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "lora.yaml").write_text(LORA, encoding="utf-8")
    with pytest.raises(RecipeError, match="no recipe at") as raised:
        load_recipe(tmp_path / "loar.yaml")
    assert raised.value.hint == f"did you mean {tmp_path / 'lora.yaml'}?"
