"""A Docker client for inside, of the standard library alone: any image can carry it, with the toolbox's interpreter.

    python3 dockerclient.py 'POST /containers/create?name=web {"Image": "busybox"}' ...     prints a line of JSON for each: [status, body]
    python3 dockerclient.py 'POST /build?t=x @context.tar'                                  sends a file as a tar
"""

import http.client
import json
import os
import socket
import sys


class Engine(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(os.environ["DOCKER_HOST"].removeprefix("unix://"))


def call(line: str) -> tuple[int, object]:
    method, path, *body = line.split(" ", 2)
    engine = Engine("docker")
    if body and body[0].startswith("@"):
        with open(body[0][1:], "rb") as file:
            engine.request(method, path, file.read(), {"Content-Type": "application/x-tar"})
    else:
        engine.request(method, path, body[0] if body else None, {"Content-Type": "application/json"} if body else {})
    answer = engine.getresponse()
    text = answer.read()
    try:
        return answer.status, json.loads(text) if text.strip() else None
    except ValueError:
        return answer.status, text.decode("utf-8", "replace")


for line in sys.argv[1:]:
    print(json.dumps(call(line)), flush=True)
