"""The steps of a run, in order. The journal, the recovery and the fault tests are all made from this list.

A new step is a new member here: the tests kill every process of ours before and after each of them.
"""

from enum import StrEnum


class Step(StrEnum):
    FOLDER = "folder"  # the run's folder and its mark among the active runs
    BROKER = "broker"  # the child process that outlives us
    WORKSPACE = "workspace"  # the clone, with the user's changes
    ENVIRONMENT = "environment"  # container or local launcher
    SETUP = "setup"  # the task's own preparations
    AGENT = "agent"
    HARVEST = "harvest"  # sandboxed git writes the bundle
    RECEIVE = "receive"  # the host checks it and takes it into the run's folder
    DELIVER = "deliver"  # refs and branch in the user's repository
    CHECKS = "checks"
    VERIFY = "verify"  # the result alone, in clean environments
    TEARDOWN = "teardown"
    REPORT = "report"


# Once one of these has begun, the workspace may hold work that must be brought out.
MAY_HAVE_WRITTEN = frozenset({Step.SETUP, Step.AGENT})
