"""Git's complaints, as git, curl and ssh printed them, and what we make of them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import EnvironmentFailed, NotFound
from orchestrator.repos.failures import REASON_MAX_CHARS, ObjectsDamaged, RemoteUnreachable, calm, explain, redact


# git 2.39.5, OpenSSH 9.2, libcurl 7.88
@pytest.mark.parametrize(
    ("stderr", "kind", "code"),
    [
        ("fatal: detected dubious ownership in repository at '/srv/x'", EnvironmentFailed, "git-ownership"),
        ("fatal: could not read Username for 'https://h': terminal prompts disabled", EnvironmentFailed, "git-auth"),
        ("remote: denied\nfatal: Authentication failed for 'https://h/x/'", EnvironmentFailed, "git-auth"),
        ("git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.", EnvironmentFailed, "git-auth"),
        ("fatal: unable to access 'https://h/x/': The requested URL returned error: 403", EnvironmentFailed, "git-auth"),
        ("Host key verification failed.\nfatal: Could not read from remote repository.", EnvironmentFailed, "git-host-key"),
        ("fatal: unable to access 'https://h/x/': Could not resolve host: h", RemoteUnreachable, "git-unreachable"),
        ("ssh: connect to host h port 22: Connection refused\nfatal: Could not read from remote", RemoteUnreachable, "git-unreachable"),
        ("fatal: unable to access 'https://h/': Failed to connect to h port 443", RemoteUnreachable, "git-unreachable"),
        ("fatal: unable to access 'https://h/': The requested URL returned error: 502", RemoteUnreachable, "git-unreachable"),
        ("fatal: unable to access 'https://h/': server certificate verification failed. CAfile: none", EnvironmentFailed, "git-tls"),
        ("fatal: repository 'http://h/x/' not found", NotFound, "not-found"),
        ("fatal: '/srv/x' does not appear to be a git repository", NotFound, "not-found"),
        ("fatal: remote error: access denied or repository not exported: /x", NotFound, "not-found"),
        ("fatal: unable to read tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904", ObjectsDamaged, "git-damaged"),
        ("error: inflate: data stream error (incorrect header check)", ObjectsDamaged, "git-damaged"),
        ("fatal: write error: No space left on device", EnvironmentFailed, "disk-full"),
        ("fatal: something never seen", EnvironmentFailed, "git"),
        ("", EnvironmentFailed, "git"),
    ],
)  # fmt: skip
def test_explained(stderr: str, kind: type[Exception], code: str) -> None:
    """Each complaint becomes an error with git's own reason and a way out."""
    problem = explain("fetching x", stderr)
    assert (type(problem), problem.code) == (kind, code)
    assert problem.message.startswith("fetching x: ")
    assert problem.remedy


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("fatal: unable to access 'https://me:pw@h/x'", "fatal: unable to access 'https://h/x'"),
        ("https://a:b/c@d@h/x and https://h/y", "https://h/x and https://h/y"),
        ("git@host:x stays", "git@host:x stays"),
    ],
)
def test_redacted(text: str, shown: str) -> None:
    """What stands before the @ of a URL is not repeated."""
    assert redact(text) == shown


def test_a_remote_s_words_are_calmed() -> None:
    """A server's text reaches a terminal without colours, titles, our secrets or endless length."""
    text = calm("remote: \x1b]0;title\x07\x1b[31mred\x9b\r\nremote: token s3cret\n\n" + "x" * 5000, secrets=("s3cret", ""))
    assert text.startswith("remote: ?]0;title??[31mred?; remote: token ***; xxx")
    assert len(text) <= REASON_MAX_CHARS + 5


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_words(text: str) -> None:
    """Whatever git prints, there is an error with one printable line."""
    message = explain("doing", text).message
    assert "\n" not in message
    assert "\x1b" not in message
