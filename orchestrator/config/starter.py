"""The task file that ``aienv init`` writes."""

import json

from orchestrator.config.names import AGENTS
from orchestrator.config.node import word
from orchestrator.config.schema import KEYS
from orchestrator.config.values import BadValue, nearest
from orchestrator.errors import UsageError

_WORK_OF_AN_AGENT = """\
agent: {agent}                      # {agents}
prompt: |
  Describe here what is to be done, and how to see that it is done.
"""

_WORK_OF_A_COMMAND = """\
agent: command                     # or {agents}, with a prompt:
command: [sh, -c, "echo replace this command"]
"""

_FILE = """\
# A task for aienv. Run it with: aienv run {name}   (committed as .aienv/tasks/{name}.yaml)
# or with the path of this file. All keys: docs/configuration.md, or aienv config.
version: 1
name: {quoted}

{work}
# checks: [pytest -q]              # run after the agent; one that fails makes the run fail
# artifacts: [dist/*]              # files to bring out besides the changes

# environment: {{devcontainer: auto}}   # or {{image: "python:3.12"}} or {{template: python}}
# docker: auto                     # auto | none | readonly | guarded
# network: {{mode: allowlist, presets: [pypi], allow: [api.example.org]}}
# secrets: [EXAMPLE_API_KEY]       # names only; the values come from your side
# limits: {{cpus: 2, memory: 4g, timeout: 30m}}
# output: {{branch: {branch}}}
"""


def starter_task(name: str, agent: str) -> str:
    """The text of a new task file.

    Raises:
        UsageError: ``name`` is not a task name (it becomes a file name, too), or ``agent`` is not one of ``names.AGENTS``.
    """
    for key, text in (("name", name), ("agent", agent)):
        try:
            KEYS[key].parse(word(text))
        except BadValue as problem:
            raise UsageError(f"{key}: {problem}", remedy=problem.remedy) from problem
    if agent not in AGENTS:
        raise UsageError(f"agent: unknown agent {agent!r}{nearest(agent, AGENTS)}", remedy=f"choose one of {', '.join(AGENTS)}")
    others = " | ".join(other for other in AGENTS if other != agent)
    work = (_WORK_OF_A_COMMAND if agent == "command" else _WORK_OF_AN_AGENT).format(agent=agent, agents=others)
    return _FILE.format(name=name, quoted=json.dumps(name), branch=json.dumps(f"aienv/{name}"), work=work)
