"""Ends the host where only some readers end it: fragment, question mark, backslash, semicolon, more slashes."""
# outside: unsure

from attempt import attempt
from proxied import EVIL, FORBIDDEN, GOOD, get, reached


@attempt
def main():
    urls = [
        f"http://{EVIL}{sign}{glue}{GOOD}/{FORBIDDEN}"
        for sign in ("#", "?", "\\", ";", ",", "/", "%2f", "%23", "|", "^")
        for glue in ("", "@", ".", "/@")
    ]
    urls += [
        f"http:/{EVIL}/{FORBIDDEN}",
        f"http:///{EVIL}/{FORBIDDEN}",
        f"http:\\\\{EVIL}/{FORBIDDEN}",
        f"http:{EVIL}/{FORBIDDEN}",
        f"//{EVIL}/{FORBIDDEN}",
        f"http://{GOOD}\\@{EVIL}/{FORBIDDEN}",
    ]
    return [f"{url}: {who}" for url in urls for who in reached(get(url, host=GOOD), GOOD)]
