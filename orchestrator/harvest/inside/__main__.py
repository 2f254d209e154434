"""The harvest program: reads the agent's workspace, writes a bundle and a manifest into the outbox.

It runs INSIDE a sandbox, as ``python3 -I -S FOLDER CONFIG.json``, without network and without secrets. The workspace is mounted
read-only, nothing of the agent's runs any more. This folder and the standard library are all it needs: it is mounted alone at
``/run/aienv/harvest``, where nothing else of ours is.

Its own rules:

* The agent's repository is never opened as a repository. Refs, index and logs are parsed here; git itself only sees a repository of
  ours (``tmp.0.git`` in the outbox) that borrows the agent's objects. No configuration, hook, filter, alias, graft or replace ref of
  the agent is ever in force.
* The work tree comes first. It is brought out even when everything below ``.git`` is broken.
* One broken thing does not stop the rest: it is noted, and ``.git`` goes raw into ``salvage.tar``.
* The same state gives the same commits, byte for byte; author and time come from the configuration.

From below: ``words`` and ``config``; ``files``, ``index``, ``objects`` and ``gitfolder`` parse; ``ourgit`` runs git; ``job`` and ``repo``
hold what is known; ``snapshot``, ``conversion``, ``worktree``, ``refs`` and ``lost`` make commits and refs; ``bundle`` packs those of one
repository; ``nested``, ``artifacts``, ``leftovers`` and ``salvage`` take the rest; ``program`` has the order of it all, and the manifest.
"""

import os
import sys
from types import ModuleType


def stand_alone(folder: str) -> None:
    """Let the modules in ``folder`` import each other where there is nothing around it."""
    # They use the names that they have in the whole package, so that the sandbox, the tests and the type checker mean the same. Here
    # these packages are made, empty but for the last, whose place is this folder, wherever it is mounted. And it leaves the path,
    # where Python has put it first: a module of ours must not stand in for one of the standard library.
    sys.path[:] = [place for place in sys.path if place != folder]
    for name, places in (("orchestrator", []), ("orchestrator.harvest", []), ("orchestrator.harvest.inside", [folder])):
        package = ModuleType(name)
        package.__path__ = places
        sys.modules[name] = package


if __name__ == "__main__":
    stand_alone(os.path.dirname(__file__))
    from orchestrator.harvest.inside.program import main

    sys.exit(main(sys.argv[1:]))
