"""Looks for words of the environment that lead to a network: proxies of the host, engines, agents."""
# outside: escapes

import os

from attempt import GUARD, attempt

WATCHED = (
    "DOCKER_HOST",
    "CONTAINER_HOST",
    "SSH_AUTH_SOCK",
    "DBUS_SESSION_BUS_ADDRESS",
    "XDG_RUNTIME_DIR",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "KUBECONFIG",
    "GPG_AGENT_INFO",
)


@attempt
def main():
    found = [name for name in WATCHED if name in os.environ and os.environ[name] != f"unix://{GUARD}"]
    proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy") and name.lower() != "no_proxy"}
    return found + [f"{name}={value}" for name, value in proxies.items() if "127.0.0.1:3128" not in value and value != "1"]
