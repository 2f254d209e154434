"""Names of images: one form per image; what is no name is refused before an engine hears of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.guard.calls import Denied
from orchestrator.guard.imagenames import canonical, familiar, full_id, id_like, is_id, refuse_image, repository, split
from tests.unit.guard.imagesession import denied, session

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "expected", "short"),
    [
        ("busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
        ("library/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("index.docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("testcontainers/ryuk:0.8.1", "docker.io/testcontainers/ryuk:0.8.1", "testcontainers/ryuk:0.8.1"),
        ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
        ("localhost:5000/app:v1", "localhost:5000/app:v1", "localhost:5000/app:v1"),
        ("registry:5000/app", "registry:5000/app:latest", "registry:5000/app:latest"),
        ("registry:5000", "docker.io/library/registry:5000", "registry:5000"),
        ("[::1]:5000/app", "[::1]:5000/app:latest", "[::1]:5000/app:latest"),
        ("MCR.microsoft.com/base", "MCR.microsoft.com/base:latest", "MCR.microsoft.com/base:latest"),
        (f"debian@sha256:{HEX}", f"docker.io/library/debian@sha256:{HEX}", f"debian@sha256:{HEX}"),
        (f"debian:12@sha256:{HEX}", f"docker.io/library/debian@sha256:{HEX}", f"debian@sha256:{HEX}"),
        ("deadbeef", "docker.io/library/deadbeef:latest", "deadbeef:latest"),
        ("a/b__c/d--e.f:T_-.", "docker.io/a/b__c/d--e.f:T_-.", "a/b__c/d--e.f:T_-."),
        ("a" * 237, f"docker.io/library/{'a' * 237}:latest", f"{'a' * 237}:latest"),
    ],
)
def test_canonical(text: str, expected: str, short: str) -> None:
    """As the engine reads it, so that two ways of writing one name are one name; and back."""
    assert canonical(text) == expected
    assert canonical(expected) == expected
    assert familiar(expected) == short
    assert canonical(short) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "a b",
            "UPPER",
            "Upper/lower",
            "a:b:c",
            "a:",
            "a@",
            ":tag",
            "@sha256:00",
            "/a",
            "a/",
            "a//b",
            "a/./b",
            "-a",
            "a-",
            "é",
            "a\u017f",
        ),
        *(
            "../../containers/json",
            "a/../../x",
            "a?force=1",
            "a#b",
            "a%2f..",
            "a\x00",
            "a\n",
            "debian:12\n",
            "http://x/y",
            "a;b",
            "$(x)",
            "a\u0130",
        ),
        *(f"debian@sha256:{HEX}0g", "debian@sha256:12", f"debian@sha256:{HEX[:60]}", f"debian@md5:{HEX}", "sha256:12:34", "x" * 238),
        *("a:" + "t" * 129, "a/" * 300 + "a", f"sha256:{HEX}", HEX, f"docker.io/{HEX}", "docker://busybox", "oci:/x", "busybox:latest@"),
    ],
)
def test_refused(text: str) -> None:
    """Ids, addresses, control characters, long ones: no name."""
    with pytest.raises(Denied) as caught:
        canonical(text)
    assert denied(caught) == "image.name"
    assert len(caught.value.denial.message) < 400


@pytest.mark.parametrize(
    ("text", "expected"),
    [(HEX, True), (f"sha256:{HEX}", True), ("abcdef", True), ("sha256:abc", True), ("ab", True), ("a", False), ("busybox", False),
     ("cafe:1", False), (HEX + "0", False), ("ABCDEF", False), ("sha512:ab", False), ("", False)],
)  # fmt: skip
def test_ids(text: str, expected: bool) -> None:
    assert is_id(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("deadbeefcafe", True), ("deadbeefcafe:1", True), ("docker.io/library/deadbeefcafe", True), ("a" * 63, True), ("sha256:dead", True),
        ("deadbeefcaf", False), ("deadbeefcafg", False), ("team/deadbeefcafe", False), ("example.org/deadbeefcafe", False),
        ("app:deadbeefcafe", False), ("sha256sum", False),
    ],
)  # fmt: skip
def test_names_like_ids(text: str, expected: bool) -> None:
    assert id_like(canonical(text)) is expected


def test_parts() -> None:
    assert split("docker.io/library/busybox:1") == ("docker.io/library/busybox", "1")
    assert split(f"localhost:5000/a@sha256:{HEX}") == ("localhost:5000/a", f"sha256:{HEX}")
    assert repository("localhost:5000/a:1") == "localhost:5000/a"
    assert full_id(HEX) == full_id(f"sha256:{HEX}") == f"sha256:{HEX}"
    assert full_id("abc") is None


def test_refusal_tells_what_is_allowed() -> None:
    """With the words that would allow it; an id has none."""
    message = refuse_image("redis:7", session()).denial.message
    assert "debian:12, postgres:16" in message
    assert "--allow-image redis:7, or guard.images: [redis:7]" in message
    assert refuse_image(HEX, session()).denial.remedy is None
    assert refuse_image("a\nb", session()).denial.remedy is None


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab./:@-_A[]%?# \n\x00éſK" + "0", max_size=40) | st.text(max_size=20))
def test_what_passes_is_safe_in_a_path(text: str) -> None:
    """Whatever passes is stable, and has no character and no part that means something else in a URL."""
    try:
        found = canonical(text)
    except Denied:
        return
    assert canonical(found) == found
    assert canonical(familiar(found)) == found
    assert found.isascii()
    assert not set(found) & set("%?# \n\x00")
    assert not {"", ".", ".."} & set(found.split("/"))
