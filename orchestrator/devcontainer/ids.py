"""Labels by which a container is found again, and the id that is made of them. Pure."""

import hashlib
import json
import re
from collections.abc import Mapping

from orchestrator.errors import UsageError

LOCAL_FOLDER = "devcontainer.local_folder"
CONFIG_FILE = "devcontainer.config_file"
MADE = "dev.aienv.devcontainer"  # of what we made: containers, volumes, images
OF_FOLDER = f"{MADE}.folder"  # of volumes: for which workspace they were made
GUARD = f"{MADE}.guard"  # of containers: the key of their Docker guard
PREBUILT = f"{MADE}.prebuilt"  # of containers: hooks that their image has behind it
MAKER = f"{MADE}.maker"  # of containers that are to become an image: the process that makes it
PROJECT = "com.docker.compose.project"

# Labels that say whose a container is. An image can bring any label, and must not say that.
TELLS_WHOSE = re.compile(r"devcontainer\.(?!metadata$)|dev\.aienv\.|com\.docker\.compose\.")

_DIGITS = "0123456789abcdefghijklmnopqrstuv"
_LENGTH = 52  # 256 bits, five in a digit


def default_labels(folder: str, config_file: str | None) -> dict[str, str]:
    """``config_file``: None for containers of an older time, which have the folder's label alone."""
    labels = {LOCAL_FOLDER: folder}
    if config_file is not None:
        labels[CONFIG_FILE] = config_file
    return labels


def labels_of(words: tuple[str, ...]) -> dict[str, str]:
    """``name=value`` words of the command line.

    Raises:
        UsageError: one that is none.
    """
    labels: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise UsageError(f"--id-label {word!r} is not of the form name=value")
        labels[name] = value
    return labels


def folder_label(labels: Mapping[str, str]) -> str:
    """The value of ``OF_FOLDER`` for the workspace of a container with ``labels``."""
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))


def devcontainer_id(labels: Mapping[str, str]) -> str:
    """The value of ``${devcontainerId}``: 52 characters that stay the same as long as the labels do."""
    text = json.dumps(dict(sorted(labels.items(), key=_utf16)), separators=(",", ":"), ensure_ascii=False)
    number = int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest(), "big")
    digits = ""
    for _ in range(_LENGTH):
        number, digit = divmod(number, 32)
        digits = _DIGITS[digit] + digits
    return digits


def _utf16(item: tuple[str, str]) -> bytes:
    """The order in which JavaScript sorts texts."""
    return item[0].encode("utf-16-be", "surrogatepass")
