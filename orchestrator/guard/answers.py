"""Every answer of the engine on its way to the client: one place that knows which kind is shown how. Pure."""

from collections.abc import Callable, Mapping
from typing import assert_never

from orchestrator.guard import infos, lists, shownthings
from orchestrator.guard.calls import Answer, Json, Object
from orchestrator.guard.events import EventFilter
from orchestrator.guard.inspect import show_container
from orchestrator.guard.view import View


def show(answer: Answer, body: Json, view: View, limit: int | None = None) -> Json:
    """The body of an answer that went well. ``limit``: of a list of containers that the engine was not asked to limit.

    An answer of another shape than its kind has is shown as nothing.
    """
    match answer:
        case "containers":
            return lists.show_containers(body, view, limit)
        case "networks" | "volumes" | "images" | "history":
            return _LISTS[answer](body, view)
        case "container" | "network" | "volume" | "image" | "exec" | "info" | "version" | "df" | "prune":
            return _OBJECTS[answer](body, view) if isinstance(body, dict) else {}
        case "removed-image":
            return list[Json](lists.images_deleted(body, view))
        case "as-is" | "stream" | "hijack" | "events" | "ping" | "progress":
            return body
        case _:
            assert_never(answer)


_LISTS: Mapping[str, Callable[[Json, View], Json]] = {
    "networks": lists.show_networks,
    "volumes": lists.show_volumes,
    "images": lists.show_images,
    "history": shownthings.show_history,
}
_OBJECTS: Mapping[str, Callable[[Object, View], Object]] = {
    "container": show_container,
    "network": shownthings.show_network,
    "volume": shownthings.show_volume,
    "image": shownthings.show_image,
    "exec": shownthings.show_exec,
    "info": infos.show_info,
    "version": infos.show_version,
    "df": lists.show_df,
    "prune": lists.show_prune,
}


def scrub(text: str, view: View) -> str:
    """A sentence of the engine, as of an error, without paths of the machine and ids of others."""
    return view.scrub(text)


def stream_filter(answer: Answer, view: Callable[[], View]) -> EventFilter | None:
    """What a streamed answer goes through; None: it passes as it is."""
    return EventFilter(view) if answer == "events" else None
