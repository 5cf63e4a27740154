from __future__ import annotations

from importlib.util import find_spec

import pytest

from orionlm.errors import UserError
from orionlm.recipe.kinds import KINDS
from orionlm.recipe.recipe import find_recipe, parse_recipe, published_recipes


def test_stages_run_in_the_order_of_their_inputs_not_of_the_file(recipe):
    text = 'name = "n"\n'
    text += '[stage.last]\nkind = "end"\ninputs = { middle = "mid" }\n'
    text += '[stage.mid]\nkind = "middle"\ninputs = { source = "first" }\n'
    text += '[stage.first]\nkind = "source"\n'
    assert [stage.name for stage in recipe(text=text).stages] == ["first", "mid", "last"]


def test_until_needs_only_what_leads_to_it_and_downstream_only_what_follows(recipe):
    small = recipe()
    assert [stage.name for stage in small.needed_for("b")] == ["a", "b"]
    assert small.downstream(["b"]) == ["b", "c"]
    assert small.downstream(["a"]) == ["a", "b", "c"]
    assert small.downstream([]) == []


def test_a_stage_may_have_a_seed_of_its_own(recipe):
    assert [stage.seed for stage in recipe(('kind = "middle"', 'kind = "middle"\nseed = 3')).stages] == [7, 3, 7]


# ruff: disable[E501]
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('inputs = { source = "a" }', 'inputs = { source = "c" }', "small.toml:10: stage.b.inputs: stages need each other in a cycle: b → c → b"),
        ('inputs = { source = "a" }', 'inputs = { source = "aa" }', "small.toml:10: stage.b.inputs.source: no stage 'aa', did you mean a?"),
        ('inputs = { source = "a" }\n', "", 'small.toml:8: stage.b.inputs: missing input source: add source = "a"'),
        ('middle = "b", ', 'midle = "b", ', "small.toml:15: stage.c.inputs.midle: unknown input, did you mean middle?"),
        ('middle = "b", ', 'middle = "a", ', "small.toml:15: stage.c.inputs.middle: stage a makes a source, this input takes a middle"),
        ('inputs = { source = "a" }', 'inputs = "a"', "small.toml:10: stage.b.inputs: expected a table of input = stage"),
        ('kind = "middle"', 'kind = "midle"', "small.toml:9: stage.b.kind: unknown kind 'midle', did you mean middle?"),
        ('kind = "middle"\n', "", "small.toml:8: stage.b: missing kind: one of "),
        ('kind = "middle"', 'kind = "middle"\nseed = -1', "small.toml:10: stage.b.seed: -1: expected a whole number from 0"),
        ("steps = 5", "stepps = 5", "small.toml:6: stage.a.stepps: unknown key, did you mean steps?"),
        ('name = "small"\n', "", "small.toml: name: missing: it has no default, set it"),
        ('name = "small"', 'name = "../up"', "small.toml:1: name: '../up': use letters"),
        ("seed = 7", "sede = 7", "small.toml:2: sede: unknown key, did you mean seed?"),
        ("seed = 7", "[price]\nsource = 'list'\ndollars_per_hour = -1", "small.toml:4: price.dollars_per_hour: -1: expected at least 0"),
        ("seed = 7", '[machine]\nprecision = "fp16"', "small.toml:3: machine.precision: \"fp16\": expected 'fp32' or 'bf16'"),
        ("[stage.a]", "[stage.'a.b']", "small.toml:4: stage.a.b: use letters"),
    ],
)  # fmt: skip
# ruff: enable[E501]
def test_a_mistake_in_a_recipe_is_one_line_with_its_place_and_mend(recipe, old, new, message):
    with pytest.raises(UserError) as error:
        recipe((old, new))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_cycle_of_three_is_named_whole(recipe):
    text = 'name = "n"\n'
    for one, other in [("a", "b"), ("b", "c"), ("c", "a")]:
        text += f'[stage.{one}]\nkind = "middle"\ninputs = {{ source = "{other}" }}\n'
    with pytest.raises(UserError, match="cycle: a → b → c → a"):
        recipe(text=text)


def test_a_stage_that_is_not_there_is_named_with_its_nearest(recipe):
    with pytest.raises(UserError, match="no stage 'bb', did you mean b"):
        recipe().needed_for("bb")


def test_recipes_are_found_by_path_by_run_and_by_name(tmp_path):
    (tmp_path / "recipe.toml").write_text('name = "here"')
    assert find_recipe(str(tmp_path / "recipe.toml")).values == {"name": "here"}
    assert find_recipe(str(tmp_path)).values == {"name": "here"}
    with pytest.raises(UserError, match="no such file, and no published recipe of that name"):
        find_recipe(str(tmp_path / "nowhere.toml"))
    assert "quickstart" in published_recipes()
    with pytest.raises(UserError, match="did you mean quickstart"):
        find_recipe("quikstart")


@pytest.mark.parametrize("name", published_recipes())
def test_published_recipes_are_valid_and_named_after_their_file(name):
    assert parse_recipe(find_recipe(name)).name == name


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_stage_kind_keeps_the_contract(name):
    assert find_spec(KINDS[name].module), KINDS[name].module
    module = KINDS[name].load()
    assert module.Settings.model_config.get("frozen") and module.Settings.model_config.get("extra") == "forbid"
    assert not {"kind", "inputs", "seed"} & set(module.Settings.model_fields)
    assert callable(module.run)
    for kinds in (*KINDS[name].inputs.values(), *KINDS[name].optional.values()):
        assert set(kinds) <= set(KINDS)
