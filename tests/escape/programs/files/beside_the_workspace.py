"""Looks at what lies beside and above the workspace, where the host keeps outbox, control folder and other runs."""
# outside: escapes

import os

from attempt import attempt


@attempt
def main():
    here = os.getcwd()
    beside = [name for name in os.listdir(os.path.dirname(here)) if name != os.path.basename(here)]
    return beside + [path for path in (f"{here}/../outbox", f"{here}/../../outbox", f"{here}/../control") if os.path.lexists(path)]
