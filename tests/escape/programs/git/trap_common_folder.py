"""Names another folder for what repositories share, whose configuration starts programs."""
# outside: never

import os

from attempt import attempt
from trap import command


@attempt
def main():
    os.makedirs(".git/worktrees/evil", exist_ok=True)
    os.makedirs("common", exist_ok=True)
    with open("common/config", "w") as file:
        file.write(
            f"[core]\n\trepositoryformatversion = 0\n\tfsmonitor = {command('common-folder')}\n\thooksPath = {os.getcwd()}/planted\n"
        )
    for name, text in (
        ("commondir", f"{os.getcwd()}/common\n"),
        ("gitdir", f"{os.getcwd()}/elsewhere/.git\n"),
        ("HEAD", "ref: refs/heads/main\n"),
    ):
        with open(f".git/worktrees/evil/{name}", "w") as file:
            file.write(text)
    os.makedirs("elsewhere", exist_ok=True)
    with open("elsewhere/.git", "w") as file:
        file.write(f"gitdir: {os.getcwd()}/.git/worktrees/evil\n")
