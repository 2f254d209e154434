"""Opens very many connections to the proxy and leaves them: others must still be served."""
# outside: never

from attempt import attempt
from proxied import GOOD, Conversation, get, origins


@attempt
def main():
    held = []
    try:
        for _ in range(600):
            held.append(Conversation())
    except OSError:
        pass
    count = len(held)
    for talk in held[:-1]:
        talk.close()
    answered = origins(get(f"http://{GOOD}/many-connections"))
    return None if answered == [GOOD] else f"after {count} connections: {answered}"
