#!/usr/bin/env python3
"""A coding agent in one short file: it asks a model what to do, does it, and tells the model what came of it.

    agent.py PROMPT [--model ADDRESS] [--script FILE]

ADDRESS is an endpoint that speaks OpenAI chat completions: ``http://host:port/v1``, or ``unix:/path/of/a/socket``. Without one a
script plays the model: a JSON list of turns, with the steps ``say``, ``shell``, ``read`` and ``edit``; a turn's ``expect`` is a
pattern that the last tool's output must match. Standard library only.
"""

import argparse
import http.client
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

TURNS = 50
OUTPUT = 20_000  # characters of a tool's output that the model sees
DEADLINE_S = 60


def shell(command):
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    return f"{done.stdout}{done.stderr}\n(exit code {done.returncode})"


def edit(path, old, new):
    text = Path(path).read_text()
    if text.count(old) != 1:
        return f"error: the old text occurs {text.count(old)} times in {path}"
    Path(path).write_text(text.replace(old, new))
    return f"changed {path}"


TOOLS = {
    "shell": (shell, "Run a shell command.", ["command"]),
    "read": (lambda path: Path(path).read_text(), "Read a file.", ["path"]),
    "edit": (edit, "Replace a text that occurs once in a file.", ["path", "old_string", "new_string"]),
}


def declared(name, description, parameters):
    properties = {parameter: {"type": "string"} for parameter in parameters}
    schema = {"type": "object", "properties": properties, "required": parameters}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


class Endpoint:
    """A model behind an address."""

    def __init__(self, address):
        self.address = address

    def reply(self, messages):
        tools = [declared(name, description, parameters) for name, (_, description, parameters) in TOOLS.items()]
        body = json.dumps({"model": os.environ.get("AGENT_MODEL", "fake-model"), "messages": messages, "tools": tools})
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ.get('AGENT_KEY', 'none')}"}
        connection, path = self.connect()
        connection.request("POST", f"{path}/chat/completions", body, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            sys.exit(f"agent: the model answered {answer.status}: {text[:300]!r}")
        return json.loads(text)["choices"][0]["message"]

    def connect(self):
        if self.address.startswith("unix:"):
            connection = http.client.HTTPConnection("localhost", timeout=DEADLINE_S)
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(self.address.removeprefix("unix:"))
            return connection, "/v1"
        url = urlsplit(self.address)
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        return kind(url.hostname, url.port, timeout=DEADLINE_S), url.path.rstrip("/")


class Script:
    """A model that plays a script. Where it stands is read from the conversation, so it keeps no state."""

    def __init__(self, path):
        self.turns = json.loads(Path(path).read_text())

    def reply(self, messages):
        turn = self.turns[sum(message["role"] == "assistant" for message in messages)]
        if not re.search(turn.get("expect", ""), messages[-1]["content"]):
            sys.exit(f"agent: the script expected {turn['expect']!r}")
        steps = turn.get("steps", [turn])
        calls = [self.call(number, step) for number, step in enumerate(steps) if not step.keys() & {"say"}]
        return {"role": "assistant", "content": "\n".join(step["say"] for step in steps if "say" in step), "tool_calls": calls}

    def call(self, number, step):
        name = next(name for name in TOOLS if name in step)
        given = step[name]
        arguments = list(given.values()) if isinstance(given, dict) else [given]
        named = dict(zip(TOOLS[name][2], arguments, strict=True))
        return {"id": f"call-{number}", "type": "function", "function": {"name": name, "arguments": json.dumps(named)}}


def carry_out(call):
    name, arguments = call["function"]["name"], json.loads(call["function"]["arguments"])
    act, _, parameters = TOOLS[name]
    try:
        output = act(*(arguments[parameter] for parameter in parameters))
    except (OSError, UnicodeError, subprocess.TimeoutExpired) as problem:
        output = f"error: {problem}"
    print(f"* {name} {str(next(iter(arguments.values())))[:100]}\n{output.strip()}", flush=True)
    return {"role": "tool", "tool_call_id": call["id"], "content": output[-OUTPUT:]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("prompt")
    parser.add_argument("--model", default=os.environ.get("AGENT_ENDPOINT"))
    parser.add_argument("--script", default=Path(__file__).with_name("model.json"))
    options = parser.parse_args()
    model = Endpoint(options.model) if options.model else Script(options.script)
    messages = [{"role": "user", "content": options.prompt}]
    for _ in range(TURNS):
        message = model.reply(messages)
        messages.append(message)
        print(message.get("content") or "", flush=True)
        if not message.get("tool_calls"):
            sys.exit("FAILED" in (message.get("content") or ""))
        messages += [carry_out(call) for call in message["tool_calls"]]
    sys.exit(f"agent: no end after {TURNS} turns")


if __name__ == "__main__":
    main()
