"""devcontainer.json: the environment that a repository describes. See docs/devcontainer.md.

``load`` reads the file; ``metadata`` and ``merge`` put it together with what images and features bring; the commands stand on these.
"""
