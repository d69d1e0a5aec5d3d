from __future__ import annotations

from lem.registry import InputVersion
from lem.registry.manifest_difference import manifest_difference


def read(**versions):
    return [InputVersion("panel", f"2024-01-{key[1:]}", version) for key, version in versions.items()]


def test_a_model_differs_from_itself_in_nothing(make_model):
    assert manifest_difference(make_model(), make_model()).same


def test_keys_that_differ_are_named_by_their_dotted_path_with_both_values(make_model):
    libraries = {"torch": "2.9", "numpy": "2.4"}
    one = make_model(manifest={"seed": 7, "code_version": "aa", "libraries": libraries, "old": [1, 2], "empty": {}})
    two = {"seed": 7, "code_version": "bb", "libraries": libraries | {"torch": "3.0"}, "new": {"x": None}, "empty": {}}
    found = manifest_difference(one, make_model(manifest=two))
    assert found.keys == {
        "code_version": ('"aa"', '"bb"'),
        "libraries.torch": ('"2.9"', '"3.0"'),
        "old": ("[1,2]", ""),
        "new.x": ("", "null"),
    }
    assert not found.same


def test_partitions_that_one_alone_read_or_both_in_other_versions_are_named(make_model):
    one = make_model(inputs=read(_02="a", _03="b", _04="c"))
    other = make_model(inputs=read(_03="b", _04="x", _05="d"))
    found = manifest_difference(one, other)
    assert (found.only_in_one, found.only_in_other) == (["panel 2024-01-02"], ["panel 2024-01-05"])
    assert found.other_version == ["panel 2024-01-04"]
    assert found.keys == {}
    assert not found.same


def test_the_manifests_own_list_of_inputs_is_compared_as_partitions_only(make_model):
    one, other = ({"inputs": [["panel", "2024-01-02", version]]} for version in "ab")
    assert manifest_difference(make_model(manifest=one), make_model(manifest=other)).same
