"""The order of installation. Cases whose name begins with ``reference`` are facts of the reference implementation's own tests."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.devcontainer.features import manifest, options, references
from orchestrator.devcontainer.features.feature import Feature, Local, Oci, Tarball, Target
from orchestrator.devcontainer.features.graph import MAX_FEATURES, build
from orchestrator.devcontainer.features.order import collated, compare, compare_options, install_order
from orchestrator.devcontainer.features.references import OciReference
from orchestrator.devcontainer.jsonc import Json
from orchestrator.errors import ConfigError


@dataclass(frozen=True)
class World:
    """What is published: by name without a version -> manifest; digests differ with the version unless ``digests`` says so."""

    published: Mapping[str, Mapping[str, Json]]
    digests: Mapping[str, str] = field(default_factory=dict)

    def feature(self, written: str, value: Json) -> Feature:
        reference = references.parse(written)
        source: Local | Oci | Tarball
        if isinstance(reference, OciReference):
            key = reference.resource
            source = Oci(reference, self.digests.get(written, f"sha256:{key}"), "sha256:0", 1, {})
        elif isinstance(reference, references.TarballReference):
            key, source = reference.url, Tarball(reference.url, "sha256:0")
        else:
            key, source = written, Local("/w/.devcontainer/" + reference.path)
        found = manifest.read(json.dumps(self.published.get(key, {})), key, name=reference.name)
        return Feature(written, source, options.asked(value, written), found, value)

    def target(self, written: str) -> Target:
        source = self.feature(written, {}).source
        return Target(type(source), source.reference.resource if isinstance(source, Oci) else source.place)

    def order(self, asked: Mapping[str, Json], override: Sequence[str] = ()) -> list[tuple[str, Json]]:
        found = install_order(build(asked, self.feature, self.target), [self.target(one) for one in override])
        return [(one.written, one.raw) for one in found]

    def names(self, asked: Mapping[str, Json] | Sequence[str], override: Sequence[str] = ()) -> list[str]:
        whole = asked if isinstance(asked, Mapping) else {name: {} for name in asked}
        return [name for name, _ in self.order(whole, override)]


R = "registry.example/ns"


@pytest.mark.parametrize(
    ("published", "asked", "override", "expected"),
    [
        pytest.param({}, ["./fc", "./fa", "./fb"], [], ["./fa", "./fb", "./fc"], id="declared-order-counts-for-nothing"),
        pytest.param({}, ["./b", "./A", "./a", "./B", "./_", "./1"], [], ["./_", "./1", "./a", "./A", "./b", "./B"], id="collation"),
        pytest.param({"./a": {"installsAfter": ["./c"]}}, ["./a", "./c"], [], ["./c", "./a"], id="reference-installs-after-local-simple"),
        pytest.param({"./a": {"installsAfter": ["./c"]}}, ["./a"], [], ["./a"], id="installs-after-nobody"),
        pytest.param({"./a": {"dependsOn": {"./b": {}}}}, ["./a"], [], ["./b", "./a"], id="reference-depends-on-local-simple"),
        pytest.param({"./a": {"dependsOn": {"./b": {}}}, "./b": {"dependsOn": {"./z": {}}}}, ["./a", "./m"], [],
                     ["./m", "./z", "./b", "./a"], id="depends-on-is-followed"),
        pytest.param({"./a": {"installsAfter": ["./b"]}, "./b": {"installsAfter": ["./z"]}}, ["./a", "./z"], [],
                     ["./a", "./z"], id="installs-after-is-not-followed"),
        pytest.param({"./a": {"installsAfter": ["./m"]}, "./c": {"dependsOn": {"./m": {}}}}, ["./a", "./c"], [],
                     ["./m", "./a", "./c"], id="follows-what-another-one-needs"),
        pytest.param({}, ["./a", "./b", "./c"], ["./c", "./b"], ["./c", "./b", "./a"], id="override"),
        pytest.param({}, ["./a", "./b", "./c"], ["./b"], ["./b", "./a", "./c"], id="override-of-one"),
        pytest.param({}, ["./a", "./b"], ["./z", "./b"], ["./b", "./a"], id="override-of-nobody"),
        pytest.param({"./c": {"dependsOn": {"./a": {}}}}, ["./b", "./c"], ["./c"], ["./a", "./b", "./c"],
                     id="override-does-not-beat-depends-on"),
        pytest.param({"./a": {"installsAfter": ["./d"]}}, ["./a", "./b", "./d"], ["./a", "./d"], ["./d", "./a", "./b"],
                     id="override-of-what-it-follows"),
        pytest.param({"./a": {"dependsOn": {"./b": {}, "./c": {}, "./d": {}}}}, ["./a"], ["./c"], ["./c", "./b", "./d", "./a"],
                     id="reference-override-local-simple"),
        pytest.param({"./a": {"dependsOn": {"./b": {}, "./d": {}}, "installsAfter": ["./c"]}, "./b": {"dependsOn": {"./c": {}}}}, ["./a"],
                     ["./c", "./d"], ["./c", "./d", "./b", "./a"], id="reference-override-local-intermediate"),
        pytest.param({"./b": {"dependsOn": {"./a": {}}}}, ["./b", "./c"], ["./a", "./b", "./c"], ["./a", "./b", "./c"],
                     id="reference-override-local-round-priority"),
        pytest.param({"./a": {"installsAfter": ["./b"], "dependsOn": {"./c": {"magicNumber": "321"}}}}, ["./a"], [], ["./c", "./a"],
                     id="reference-depends-on-and-installs-after"),
        pytest.param({}, [f"{R}/b", f"{R}/a:1", "other.example/ns/z", "./m"], [],
                     ["./m", "other.example/ns/z", f"{R}/a:1", f"{R}/b"], id="kinds"),
        pytest.param({f"{R}/a": {"installsAfter": [f"{R}/z"]}}, [f"{R}/a", f"{R}/z:2"], [], [f"{R}/z:2", f"{R}/a"],
                     id="follows-any-version"),
        pytest.param({f"{R}/a": {"id": "a", "installsAfter": [f"{R}/new"]},
                      f"{R}/old": {"id": "old", "currentId": "new", "legacyIds": ["old"]}},
                     [f"{R}/a", f"{R}/old"], [], [f"{R}/old", f"{R}/a"], id="follows-an-old-name"),
        pytest.param({f"{R}/a": {"id": "a", "installsAfter": [f"{R}/old"]}, f"{R}/new": {"id": "new", "legacyIds": ["old"]}},
                     [f"{R}/a", f"{R}/new"], [], [f"{R}/new", f"{R}/a"], id="follows-a-new-name"),
        pytest.param({f"{R}/a": {"id": "a", "installsAfter": ["other.example/ns/new"]}, f"{R}/old": {"id": "old", "currentId": "new"}},
                     [f"{R}/a", f"{R}/old"], [], [f"{R}/a", f"{R}/old"], id="not-an-old-name-of-another-registry"),
        pytest.param({}, [f"{R}/old", f"{R}/b"], [f"{R}/b:9"], [f"{R}/b", f"{R}/old"], id="override-with-a-version"),
    ],
)  # fmt: skip
def test_order(published: Mapping[str, Mapping[str, Json]], asked: Sequence[str], override: Sequence[str], expected: list[str]) -> None:
    assert World(published).names(asked, override) == expected


def test_reference_rounds_by_options() -> None:
    """Fewest options first, then their names and values."""
    world = World({
        "./a": {"dependsOn": {"./b": {"optA": "a", "optB": "a"}, "./c": {}}},
        "./c": {"dependsOn": {"./b": {"optA": "b", "optB": "a"}, "./d": {}, "./e": {}}},
        "./d": {"dependsOn": {"./b": {"optA": "b", "optB": "b"}}},
        "./e": {"dependsOn": {"./b": {}}},
    })  # fmt: skip
    assert world.order({"./a": {"optA": "a", "optB": "b"}, "./b": {"optA": "a", "optB": "b"}}) == [
        ("./b", {}), ("./b", {"optA": "a", "optB": "a"}), ("./b", {"optA": "a", "optB": "b"}), ("./b", {"optA": "b", "optB": "a"}),
        ("./b", {"optA": "b", "optB": "b"}), ("./d", {}), ("./e", {}), ("./c", {}), ("./a", {"optA": "a", "optB": "b"}),
    ]  # fmt: skip


def test_once_for_each_set_of_options() -> None:
    world = World({f"{R}/a": {"dependsOn": {f"{R}/x:1": {"v": "1"}}}, f"{R}/b": {"dependsOn": {f"{R}/x:1": {"v": "2"}}}})
    assert world.order({f"{R}/a": {}, f"{R}/b": {}, f"{R}/x:1": {"v": "1"}}) == [
        (f"{R}/x:1", {"v": "1"}), (f"{R}/x:1", {"v": "2"}), (f"{R}/a", {}), (f"{R}/b", {}),
    ]  # fmt: skip


def test_equal_by_digest_and_options() -> None:
    """Whatever it is called."""
    world = World({}, {f"{R}/x:1": "sha256:same", f"{R}/x:1.2": "sha256:same", f"{R}/x:2": "sha256:other"})
    assert world.order({f"{R}/x:1": {}, f"{R}/x:1.2": {}, f"{R}/x:2": {}}) == [(f"{R}/x:1", {}), (f"{R}/x:2", {})]
    assert len(world.order({f"{R}/x:1": {}, f"{R}/x:1.2": {"a": "b"}})) == 2


def test_versions_before_options() -> None:
    """Tags as text, so 1.10 comes before 1.9; then options; then digests."""
    world = World({}, {f"{R}/x:1.9": "sha256:1", f"{R}/x:1.10": "sha256:2"})
    assert world.names({f"{R}/x:1.9": {}, f"{R}/x:1.10": {"a": "b"}}) == [f"{R}/x:1.10", f"{R}/x:1.9"]


@pytest.mark.parametrize(
    ("published", "asked", "words"),
    [
        pytest.param({"./a": {"dependsOn": {"./b": {}}}, "./b": {"dependsOn": {"./a": {}}}}, ["./a"], "./a -> ./b -> ./a", id="depends-on"),
        pytest.param({"./a": {"installsAfter": ["./b"]}, "./b": {"installsAfter": ["./a"]}}, ["./a", "./b"], "./a -> ./b -> ./a",
                     id="installs-after"),
        pytest.param({"./a": {"installsAfter": ["./b"]}, "./b": {"dependsOn": {"./a": {}}}}, ["./b"], "./b -> ./a -> ./b", id="mixed"),
        pytest.param({"./a": {"dependsOn": {"./a": {}}}}, ["./a"], "./a -> ./a", id="itself"),
        pytest.param({"./z": {"dependsOn": {"./a": {}}}, "./a": {"dependsOn": {"./b": {}}}, "./b": {"dependsOn": {"./a": {}}}}, ["./z"],
                     "wait for each other: ./a -> ./b -> ./a", id="behind-another"),
    ],
)  # fmt: skip
def test_circles_are_named(published: Mapping[str, Mapping[str, Json]], asked: Sequence[str], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        World(published).names(asked)
    assert words in caught.value.message


def test_a_circle_of_what_nobody_asked_for_is_none() -> None:
    assert World({"./a": {"installsAfter": ["./b"]}, "./b": {"installsAfter": ["./a"]}}).names(["./a"]) == ["./a"]


def test_a_chain_without_an_end_ends() -> None:
    class Endless(World):
        def feature(self, written: str, value: Json) -> Feature:
            found = super().feature(written, value)
            more = manifest.of({"dependsOn": {f"./f{int(written[3:]) + 1}": {}}}, written, name="x")
            return Feature(written, found.source, found.value, more, value)

    with pytest.raises(ConfigError, match=f"more than {MAX_FEATURES}"):
        Endless({}).names(["./f0"])


@pytest.mark.parametrize(
    "rising",
    [
        pytest.param([{}, {"a": "z"}, {"b": "a"}, {"a": "a", "b": "a"}], id="fewest-first-then-names"),
        pytest.param([{"a": False}, {"a": True}], id="false-first"),
        pytest.param([{"a": True}, {"a": "true"}], id="a-text-is-no-boolean"),
        pytest.param([False, True, {}, "1", "a", "A", "b"], id="kinds"),
        pytest.param([{"a": 2}, {"a": 10}], id="numbers"),
    ],
)  # fmt: skip
def test_options_compared(rising: list[options.Asked]) -> None:
    for place, one in enumerate(rising):
        assert compare_options(one, one) == 0
        for other in rising[place + 1 :]:
            assert compare_options(one, other) < 0 < compare_options(other, one)


@pytest.mark.parametrize(
    "rising",
    [
        pytest.param(["a-b", "ab"], id="dash-counts"),
        pytest.param(["/a-b", "/a/b", "/ab"], id="slash-after-dash"),
        pytest.param(["ab", "aB", "ac"], id="case-last"),
        pytest.param(["aa", "Ab"], id="letters-before-case"),
        pytest.param(["A", "aa"], id="short-first"),
        pytest.param(["1.10", "1.9", "latest"], id="digits"),
        pytest.param([" ", "_", "-", ",", ":", ".", "@", "/", "+", "~", "$", "0", "9", "a", "A", "z", "Z"], id="all"),
    ],
)
def test_collated_as_by_the_reference(rising: list[str]) -> None:
    assert sorted(rising, key=collated) == rising


VALUES = (
    st.dictionaries(st.sampled_from("abc"), st.sampled_from(["x", "y", "", "true"]) | st.booleans(), max_size=3)
    | st.sampled_from(["1", "x"])
    | st.booleans()
)
FEATURES = st.tuples(st.sampled_from([f"{R}/a:1", f"{R}/a:2", f"{R}/b", "./a", "./b", "https://e.org/devcontainer-feature-a.tgz"]), VALUES)
NAMES = st.lists(st.sampled_from("abcdef"), max_size=2)


@settings(max_examples=150, deadline=None)
@given(st.lists(FEATURES, min_size=3, max_size=3))
def test_comparing_is_an_order(drawn: list[tuple[str, Json]]) -> None:
    world = World({}, {f"{R}/a:1": "sha256:1", f"{R}/a:2": "sha256:1"})
    one, two, three = (world.feature(written, value) for written, value in drawn)
    assert (compare(one, two) > 0) == (compare(two, one) < 0)
    assert compare(one, one) == 0
    if isinstance(one.source, type(two.source)) and isinstance(two.source, type(three.source)) and not isinstance(one.source, Oci):
        assert not (compare(one, two) <= 0 and compare(two, three) <= 0) or compare(one, three) <= 0


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(st.sampled_from("abcdef"), st.tuples(NAMES, NAMES), max_size=6))
def test_any_graph_is_ordered_or_a_circle(drawn: dict[str, tuple[list[str], list[str]]]) -> None:
    published: dict[str, dict[str, Json]] = {
        f"./{name}": {"dependsOn": {f"./{one}": {} for one in needs}, "installsAfter": [f"./{one}" for one in follows]}
        for name, (needs, follows) in drawn.items()
    }
    try:
        found = World(published).names([f"./{name}" for name in drawn])
    except ConfigError as problem:
        if " -> " not in problem.message:
            raise
        return
    assert len(found) == len(set(found))
    for name, (needs, follows) in drawn.items():
        before = found[: found.index(f"./{name}")]
        assert all(f"./{one}" in before for one in needs)
        assert all(f"./{one}" in before for one in follows if f"./{one}" in found)
