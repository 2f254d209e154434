"""Hooks of a run's agent: only its own command has the socket, and a lost broker is no reason to fail twice."""

import os
import signal
import socket
import threading
from pathlib import Path

import pytest

from orchestrator.agents.hookconfig import HooksConfig
from orchestrator.broker.client import Broker
from orchestrator.model.agent import HOOK_SOCKET, DenyRules
from orchestrator.run.agent_hooks import NoHooks, open_hooks

CONFIG = HooksConfig("claude", "claude", DenyRules(run=("curl",)))
WAIT_S = 20.0


def test_without_hooks_nothing_listens(tmp_path: Path) -> None:
    broker = Broker("run1", tmp_path, on_lost=lambda: None)
    hooks = open_hooks(None, broker)
    broker.close()
    assert hooks == NoHooks()
    assert hooks.places("agent") == {}
    hooks.notify("x")
    hooks.quiet()


def test_the_agents_command_has_the_socket(tmp_path: Path) -> None:
    """A setup command and a hook of the dev container have none: nobody asks there."""
    broker = Broker("run1", tmp_path, on_lost=lambda: None)
    try:
        hooks = open_hooks(CONFIG, broker)
        assert hooks.places("agent") == {"hooks": HOOK_SOCKET}
        assert hooks.places("setup") == {}
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(tmp_path / "s"))
            listener.listen(4)
            hooks.listen(listener)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(str(tmp_path / "s"))
            client.sendall(b'{"phase": "pre", "document": {"tool_name": "Bash", "tool_input": {"command": "curl x"}}}\n')
            assert b'"deny"' in client.recv(65536)
        hooks.quiet()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client, pytest.raises(ConnectionRefusedError):
            client.connect(str(tmp_path / "s"))
    finally:
        broker.close()


def test_quiet_after_the_broker_is_gone(tmp_path: Path) -> None:
    lost = threading.Event()
    broker = Broker("run1", tmp_path, on_lost=lost.set)
    hooks = open_hooks(CONFIG, broker)
    os.kill(broker.pid, signal.SIGKILL)
    assert lost.wait(WAIT_S)
    hooks.notify("x")
    hooks.quiet()
    broker.close()
