"""Asks for names that end like an allowed wildcard without being below it, and for the domain itself."""
# outside: unsure

from attempt import attempt
from proxied import FORBIDDEN, get, origins, status


@attempt
def main():
    names = (
        "wild.example.org",
        "xwild.example.org",
        "evil-wild.example.org",
        "a.wild.example.org.evil.example.net",
        "a.wild.example.orgx",
        ".wild.example.org",
        "*.wild.example.org",
    )
    answers = {name: get(f"http://{name}/{FORBIDDEN}") for name in names}
    return [
        f"{name}: {status(raw)} {origins(raw)}" for name, raw in answers.items() if origins(raw) or (raw and status(raw) not in (400, 403))
    ]
