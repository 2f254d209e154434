"""Leaves names that a shell, a terminal or an option parser would understand as something else."""
# outside: never

import os
import subprocess

from attempt import attempt
from trap import command


@attempt
def main():
    os.makedirs("names", exist_ok=True)
    touch = command("names").replace("/", "\\057")
    for name in (
        f"$({touch})",
        f"`{touch}`",
        f";{touch};",
        "--upload-pack=x",
        "-rf",
        "\033[31mred\033]0;owned\007",
        "line\nbreak",
        "tab\tand\rreturn",
        "\u202egnp.exe",
        "a" * 255,
        " ",
        "con",
        "aux.c",
        "name.",
        "x:y",
        "\\..\\..\\x",
    ):
        with open(os.path.join("names", name), "w") as file:
            file.write("x\n")
    environ = {**os.environ, "GIT_AUTHOR_NAME": "\033[2Jowned", "GIT_AUTHOR_EMAIL": "x\033c@example.org"}
    subprocess.run(["git", "add", "names"], check=True)
    subprocess.run(
        ["git", "commit", "-q", "-m", f"\033]0;owned\007 $({command('message')})\n\n\033[2J", "--", "names"], env=environ, check=True
    )
