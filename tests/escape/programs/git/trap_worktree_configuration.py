"""Leaves a configuration for this worktree alone, which git reads beside the guarded one where it is told to."""
# outside: never

from attempt import attempt
from trap import command


@attempt
def main():
    with open(".git/config.worktree", "w") as file:
        file.write(f"[core]\n\tfsmonitor = {command('worktree-configuration')}\n\tpager = {command('worktree-pager')}\n")
        file.write(f"[alias]\n\tlog = !{command('alias')}\n")
