"""What aienv adds around an agent's own run time: real agents, a scripted model, one command line each. Needs root (a small internet).

    python bench/agents.py [-n 3] [--agents claude,codex,opencode,gemini,pi] [--engine unix:///...]

Overhead is the wall time of the whole command less the agent's own phase, in the same run. Prints medians.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.e2e.agents import BY_NAME, HELLO, installed, run_agent, scripted_model
from tests.e2e.product import Aienv, make_repository
from tests.engine import cache_dir
from tests.internet import running


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=3)
    parser.add_argument("--agents", default="claude,codex,opencode,gemini,pi")
    parser.add_argument("--engine", help="address of a Docker engine that has our base image; without: the local backend alone")
    asked = parser.parse_args()
    names = asked.agents.split(",")
    with tempfile.TemporaryDirectory(prefix="aienv-bench-") as scratch:
        folder = Path(scratch)
        repo = make_repository(folder / "app")
        (folder / "home" / "cache").mkdir(parents=True)
        (folder / "home" / "cache" / "toolbox").symlink_to(cache_dir() / "toolbox")
        (folder / "user").mkdir()
        environ = {"PATH": os.environ["PATH"], "HOME": str(folder / "user"), "AIENV_HOME": str(folder / "home"), "LANG": "C.UTF-8"}
        local = Aienv(folder / "home", environ, options=("--backend", "local"), cwd=repo)
        installed(local, names, cache_dir())
        backends = {"local": local}
        if asked.engine:
            backends["docker"] = replace(local, options=("--backend", "docker"), environ={**environ, "DOCKER_HOST": asked.engine})
        print(f"{'agent':<10} {'backend':<8} {'whole':>8} {'agent':>8} {'overhead':>9}   medians of {asked.n}, seconds")
        with running() as internet, scripted_model(internet, folder / "asked"):
            for name in names:
                for backend, product in backends.items():
                    rows = []
                    for number in range(asked.n + 1):  # the first one fills caches
                        begin = time.monotonic()
                        ran = run_agent(internet.around(product), BY_NAME[name], HELLO)
                        whole = time.monotonic() - begin
                        assert ran.done.code == 0, ran.done.errors
                        if number:
                            rows.append((whole, ran.report["timings"]["agent"], whole - ran.report["timings"]["agent"]))
                    whole, own, over = (statistics.median(column) for column in zip(*rows, strict=True))
                    print(f"{name:<10} {backend:<8} {whole:8.3f} {own:8.3f} {over:9.3f}", flush=True)


if __name__ == "__main__":
    main()
