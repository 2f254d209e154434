"""``aienv devcontainer build``: the image, and the JSON that the reference prints of it."""
