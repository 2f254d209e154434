"""Opens a named queue of the host."""
# outside: escapes

from attempt import FACTS, attempt, call


@attempt
def main():
    return "opened" if call("mq_open", FACTS["queue"].encode(), 0, 0, 0)[0] >= 0 else None
