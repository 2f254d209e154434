"""Names and labels of images of ours: by what is in them, so that the same is made once and two that differ never share a name. Pure."""

import hashlib
import re

LABEL = "dev.aienv.devcontainer"
PREFIX = "aienv-devcontainer"

_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.ASCII)


def of_image(kind: str, image_id: str) -> str:
    """A name that says which image it is."""
    match = _DIGEST.fullmatch(image_id)
    return f"{PREFIX}/{kind}:{match[1] if match else hashlib.sha256(image_id.encode()).hexdigest()}"


def to_stand_on(name: str, image_id: str) -> str:
    """How a Dockerfile of ours names the image below. Another's name may lead to another image by the time that it is built; a name of
    ours counts only if it says which image it is (and ``image.hold`` sees that it is that one)."""
    return name if name in (of_image("dockerfile", image_id), of_image("base", image_id)) else of_image("base", image_id)


def is_ours(name: str) -> bool:
    """Whether a name, however written, is below the one that images of ours have."""
    return re.match(rf"(?:(?:index\.)?docker\.io/)?{PREFIX}/", name) is not None


def of_content(kind: str, *parts: str) -> str:
    """A name for what will be made of ``parts``."""
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        whole.update(f"{len(data)}:".encode() + data)
    return f"{PREFIX}/{kind}:{whole.hexdigest()}"
