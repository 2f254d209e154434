"""What a dev container may not have unless somebody granted it, decided on the final arguments. Pure. See docs/devcontainer.md.

A configuration, a feature, an image's label and a compose file are asks of strangers. Each option, key and mount has a row that says
whether it is harmless, or which word would grant it; what has no row is refused. What passes is written anew, never handed on as it came.
"""
