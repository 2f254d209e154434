"""Makes itself or the first process the last that the kernel kills when memory is short."""
# outside: unsure

from attempt import attempt, every


def write(pid):
    with open(f"/proc/{pid}/oom_score_adj", "w") as file:
        file.write("-900")
    return pid


@attempt
def main():
    return every([lambda: write("self"), lambda: write(1)])
