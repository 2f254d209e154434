"""Run one fuzz target for some time and print how far it came.

    pip install atheris
    python tests/fuzz/run.py --target hosts --seconds 60

Prints one line of counts. An input that breaks what a target asserts is kept beside the corpus, and the exit code is 1.
``--corpus`` keeps what was found for the next time; without it the corpus is thrown away.
"""

import argparse
import importlib
import importlib.util
import pkgutil
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent.parent
TARGETS = "tests.fuzz.targets"
STARTING_S = 120.0  # loading and instrumenting, and the last input
MEMORY_MIB = 2048
ONE_INPUT_S = 10


def target_names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules([str(ROOT / "tests/fuzz/targets")]))


def fuzz(name: str, seconds: int, longest: int, corpus: Path) -> None:
    """Within a process of its own: the fuzzer ends it."""
    atheris = importlib.import_module("atheris")  # no dependency of ours: it is here where somebody put it
    with atheris.instrument_imports(include=["orchestrator", TARGETS]):
        target = importlib.import_module(f"{TARGETS}.{name}")
    write_seeds(target, corpus)
    options = (
        f"-max_total_time={seconds}", f"-max_len={longest}", f"-timeout={ONE_INPUT_S}", f"-rss_limit_mb={MEMORY_MIB}",
        "-print_final_stats=1", f"-artifact_prefix={corpus}/broken-", f"-dict={corpus.parent / 'words'}",
    )  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(corpus)], target.one_input)
    atheris.Fuzz()


def write_seeds(target: ModuleType, corpus: Path) -> None:
    for number, seed in enumerate(getattr(target, "SEEDS", ())):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    words = ("".join(f"\\x{byte:02x}" for byte in word) for word in getattr(target, "WORDS", ()) if word)
    (corpus.parent / "words").write_text("".join(f'"{word}"\n' for word in words))


def counts(log: str) -> dict[str, int]:
    """From the fuzzer's own words: https://llvm.org/docs/LibFuzzer.html#output"""
    found = {name: int(value) for name, value in re.findall(r"stat::(\w+):\s+(\d+)", log)}
    for word, name in (("cov", "edges"), ("corp", "kept")):
        values = re.findall(rf"\b{word}: (\d+)", log)
        found[name] = int(values[-1]) if values else 0
    return found


def run(name: str, seconds: int, longest: int, folder: Path) -> int:
    corpus = folder / name
    corpus.mkdir(parents=True, exist_ok=True)
    child = [sys.executable, __file__, "--target", name, "--seconds", str(seconds), "--longest", str(longest)]
    begin = time.monotonic()
    done = subprocess.run(
        [*child, "--inside", str(corpus)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        timeout=seconds + STARTING_S, check=False,
    )  # fmt: skip
    took = time.monotonic() - begin
    found = counts(done.stdout)
    broken = sorted(corpus.glob("broken-*"))
    total = found.get("number_of_executed_units", 0)
    print(
        f"{name}: {total} inputs in {took:.0f} s ({total / max(took, 1):.0f} per second),"
        f" {found['edges']} edges, {found['kept']} kept, {len(broken)} broken"
    )
    if done.returncode == 0 and total:
        return 0
    print(done.stdout[-6000:], *(f"{path}: {path.read_bytes()[:400]!r}" for path in broken), sep="\n", file=sys.stderr)
    return 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--target", required=True, choices=target_names())
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--longest", type=int, default=512, help="bytes of one input")
    parser.add_argument("--corpus", type=Path, help="folder that keeps what was found")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print("the fuzzer is not installed: pip install atheris", file=sys.stderr)
        return 2
    if asked.inside:
        fuzz(asked.target, asked.seconds, asked.longest, asked.inside)
        return 0
    with tempfile.TemporaryDirectory(prefix="aienv-fuzz-", ignore_cleanup_errors=True) as folder:
        return run(asked.target, asked.seconds, asked.longest, asked.corpus or Path(folder))


if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # in place of this folder
    sys.exit(main())
