"""Looks at the first process: as confined as we are, started with an empty environment, naming nothing of the host."""
# outside: escapes

from attempt import FACTS, attempt, content


@attempt
def main():
    status = dict(line.split(":\t", 1) for line in content("/proc/1/status").decode().splitlines() if ":\t" in line)
    found = [
        f"{name} {status[name]}"
        for name, good in (("NoNewPrivs", "1"), ("Seccomp", "2"), ("CapEff", "0" * 16), ("CapBnd", "0" * 16))
        if status[name] != good
    ]
    environ = content("/proc/1/environ", 1 << 16)
    found += ["its environment holds " + word for word in FACTS["host_words"] if word.encode() in environ]
    command = content("/proc/1/cmdline", 1 << 20)
    return found + [
        "its command line names " + word for word in (*FACTS["host_words"], FACTS["state"], FACTS["home"]) if word.encode() in command
    ]
