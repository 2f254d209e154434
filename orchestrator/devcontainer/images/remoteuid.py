"""An image in which the remote user has the caller's uid and gid, so that files of the workspace have one owner."""

from orchestrator.devcontainer.images.image import How
from orchestrator.devcontainer.engine import Docker


def with_remote_uid(built_image: str, user: str, uid: int, gid: int, docker: Docker, how: How) -> str:
    """The name of the image; ``built_image`` where nothing is to do.

    Raises:
        EnvironmentFailed: the build failed.
    """
    raise NotImplementedError
