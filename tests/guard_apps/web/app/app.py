"""Counts its visitors in the database and in the cache, and shows a page of the project."""

import json
import os
import socket
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DATABASE, CACHE = os.environ["DATABASE"], os.environ["CACHE"]


def query(text):
    argv = ["psql", DATABASE, "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "-c", text]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=20).stdout.strip()


def increment(key):
    with socket.create_connection((CACHE, 6379), timeout=20) as connection, connection.makefile("rwb") as stream:
        stream.write(f"INCR {key}\r\n".encode())
        stream.flush()
        return int(stream.readline()[1:])


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/health":
            return self.answer({"ok": True})
        query("INSERT INTO visits DEFAULT VALUES")
        with open("/pages/page.txt") as page:
            text = page.read().strip()
        found = {"greeting": os.environ["GREETING"], "database": int(query("SELECT count(*) FROM visits")), "cache": increment("visits")}
        return self.answer({**found, "page": text})

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


query("CREATE TABLE IF NOT EXISTS visits (at timestamptz DEFAULT now())")
print("listening", flush=True)
ThreadingHTTPServer(("", 8000), Handler).serve_forever()
