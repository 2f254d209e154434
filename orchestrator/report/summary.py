"""The last lines that a person sees. Pure."""

from collections.abc import Iterable

from orchestrator.model.network import NetworkUse
from orchestrator.model.record import Verified
from orchestrator.model.report import RunRecord
from orchestrator.report.text import duration, plural, printable

DENIALS_SHOWN, DOCKER_DENIALS_SHOWN = 8, 3

_WORDS = {
    "succeeded": "succeeded",
    "failed": "failed",
    "timeout": "ran out of time",
    "refused": "refused",
    "error": "could not be finished",
    "interrupted": "was interrupted",
}


def summary_lines(record: RunRecord) -> list[str]:
    """One line each for outcome, result, checks, what was left, and where the report is."""
    return [printable(line) for line in _lines(record)]


def _lines(record: RunRecord) -> Iterable[str]:
    total = duration(record.timings.get("total", 0.0))
    code = f" with exit code {record.outcome.exit_code}" if record.outcome and record.outcome.exit_code else ""
    yield f"run {record.id} {_WORDS[record.status]}{code} after {total} ({record.backend}: {record.isolation})"
    if record.error:
        yield f"error   {record.error.message}"
        if record.error.remedy:
            yield f"remedy  {record.error.remedy}"
    yield from _agent_lines(record)
    yield from _result_lines(record)
    for check in record.checks:
        yield f"check   {'passed' if check.exit_code == 0 else f'failed ({check.exit_code})'}: {check.command}"
    for verified in record.verify:
        yield f"verify  {verify_words(verified)}: {verified.command}"
    yield from _network_lines(record.network)
    yield from _docker_lines(record)
    if record.network_mode == "learn" and record.network.allowed:
        yield f"learnt  {plural(len(record.network.allowed), 'place')}: aienv policy suggest {record.id}"
    if record.teardown.left:
        yield f"left    {', '.join(record.teardown.left)} (aienv gc removes it)"
    if record.kept:
        yield f"kept    {record.kept}"
    for note in record.notes:
        yield f"note    {note}"
    yield f"report  {record.folder}/report.json"


def _agent_lines(record: RunRecord) -> Iterable[str]:
    agent = record.agent
    if agent is None or agent.profile == "command":
        return
    if record.outcome is not None and record.outcome.problem is not None:
        yield f"agent   has not done its work: {record.outcome.problem}"
    used = [plural(agent.turns, "turn"), plural(agent.tool_calls, "tool call")] if agent.turns else []
    used += [f"{plural(agent.denials, 'denial')}"] if agent.denials else []
    used += [f"{sum(count for _, count in agent.tokens):,} tokens"] if agent.tokens else []
    used += [f"${agent.cost_usd:.2f}"] if agent.cost_usd else []
    version = f" {agent.version}" if agent.version else ""
    yield f"agent   {agent.profile}{version}{f', {agent.model}' if agent.model else ''}{': ' if used else ''}{', '.join(used)}"
    if agent.session is not None and agent.sessions is not None:
        yield f"session {agent.session} (aienv resume {record.id})"


def verify_words(verified: Verified) -> str:
    """How one ended; where it did not pass, with the run whose log has the reason."""
    if verified.status == "succeeded":
        return "passed"
    return f"{'ran out of time' if verified.status == 'timeout' else f'failed ({verified.exit_code})'}, aienv logs {verified.run}"


def _network_lines(network: NetworkUse) -> Iterable[str]:
    """What was blocked, most often first, each with what would allow it."""
    denied = sorted(network.denied, key=lambda denial: -denial.count)
    for denial in denied[:DENIALS_SHOWN]:
        times = f" ({denial.count} times)" if denial.count > 1 else ""
        way = f"; to allow it: {denial.flag}" if denial.flag else ""
        yield f"blocked {denial.host}:{denial.port}{times}: {denial.reason}{way}"
    if len(denied) > DENIALS_SHOWN:
        yield f"blocked {plural(len(denied) - DENIALS_SHOWN, 'more place')}, see the report"


def _docker_lines(record: RunRecord) -> Iterable[str]:
    """How many calls were refused, and the reasons of the most frequent ones."""
    if record.docker_mode == "full":
        yield "docker  full access: what the agent did to this machine by it is not known"
    denied = sorted(record.docker.denied, key=lambda denial: -denial.count)
    if not denied:
        return
    yield f"docker  {plural(sum(denial.count for denial in denied), 'call')} refused: aienv guard explain {record.id}"
    for denial in denied[:DOCKER_DENIALS_SHOWN]:
        times = f" ({denial.count} times)" if denial.count > 1 else ""
        way = f"; to allow it: {denial.remedy}" if denial.remedy else ""
        yield f"refused {denial.request}{times}: {denial.reason}{way}"


def _result_lines(record: RunRecord) -> Iterable[str]:
    harvest, delivery = record.harvest, record.delivery
    if harvest is None:
        return
    if not harvest.changed_files and harvest.bundle is None:
        yield "result  no changes"
        return
    where = f"branch {delivery.branch}" if delivery and delivery.branch else harvest.bundle or "no branch"
    extra = ", with uncommitted work in a commit of its own" if harvest.uncommitted else ""
    yield f"result  {where} ({plural(len(harvest.changed_files), 'changed file')}{extra})"
    executes = [file.path for file in harvest.changed_files if file.host_executes]
    if executes:
        yield f"review  tools on the host run these: {', '.join(executes[:8])}{' ...' if len(executes) > 8 else ''}"
    for nested in harvest.nested:
        yield f"nested  {nested.path}: {nested.bundle or nested.note}"
    if harvest.artifacts:
        yield f"files   {plural(len(harvest.artifacts), 'artifact')} in {record.folder}/artifacts"
