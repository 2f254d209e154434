"""Credentials of the operator's never enter with an MCP server."""

# ruff: noqa: E501 - a row of a table stays one line

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.agents.mcp.carry import carry, needed_rules
from orchestrator.agents.mcp.credentials import is_credential_name
from orchestrator.model.agent import McpServer

VALUE = "hunter2-hunter2"
DRAWN = "Zk3vQ9xTb7LmW2pRd8sYcH4n"  # 24 characters by chance
HEX = "9f86d081884c7d659a2feaa0c55ad015"
NONE: frozenset[str] = frozenset()


def stdio(*words: str, **env: str) -> McpServer:
    return McpServer("srv", "stdio", words or ("prog",), tuple(env.items()))


def docker(*words: str, **env: str) -> McpServer:
    return McpServer("srv", "docker", ("docker", "run", *words), tuple(env.items()), image="img:latest")


def http(url: str = "https://mcp.example.org/x", **headers: str) -> McpServer:
    return McpServer("srv", "http", url=url, headers=tuple((name.replace("_", "-"), value) for name, value in headers.items()))


@pytest.mark.parametrize(
    "name",
    ["TOKEN", "GITHUB_TOKEN", "GITHUB_PERSONAL_ACCESS_TOKEN", "api_key", "apiKey", "APIKEY", "X-Api-Key", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "PGPASS", "DB_PASS", "smtpPass", "secretKey", "SECRETACCESSKEY", "Authorization", "Proxy-Authorization", "AUTH", "auth-header", "GH_PAT", "Cookie", "client_secret", "accessToken"],
)  # fmt: skip
def test_names_of_credentials(name: str) -> None:
    assert is_credential_name(name)


@pytest.mark.parametrize("name", ["PWD", "GIT_AUTHOR_NAME", "MAX_TOKENS", "TOKENIZERS_PARALLELISM", "KEYBOARD", "MONKEY", "PATH", "COMPASS", "X-Team", "PATTERN", "", "keyword", "bypass", "PGPASSFILE", "TOTAL_BYPASS"])
def test_names_of_other_things(name: str) -> None:
    assert not is_credential_name(name)


@pytest.mark.parametrize(
    "server",
    [
        stdio(A="1"), stdio("npx", "-y", "server@1.0", "/workspaces/app", "--max-tokens", "100", "--verbose"), stdio(AUTH="false"), stdio(TOKEN=""), stdio(HOME_OF="${HOME}"), stdio(MAX_TOKENS="1000"),
        docker("-i", "--rm", "-v", "secret-data:/data", "-e", "LEVEL=debug", "img"), docker("-i", "img", "stdio"), http(), http(X_Team="7"), http("http://mcp.example.org:8080/a?team=7"),
        stdio("prog", "--url", "postgres://localhost:5432/db"),
    ],
    ids=str,
)  # fmt: skip
def test_nothing_secret(server: McpServer) -> None:
    carried = carry([server], NONE)
    assert carried.problems == ()
    assert carried.servers[0].env == (server.env if "LEVEL=debug" not in server.command else (("LEVEL", "debug"),))


@pytest.mark.parametrize(
    ("server", "says", "remedy"),
    [
        pytest.param(stdio(API_TOKEN=VALUE), "variable API_TOKEN", "--secret API_TOKEN=env://API_TOKEN --secret-host API_TOKEN=HOST", id="env"),
        pytest.param(stdio(GITHUB_TOKEN=VALUE), "variable GITHUB_TOKEN", "--secret GITHUB_TOKEN=env://GITHUB_TOKEN", id="env-known"),
        pytest.param(stdio(PLAIN="ghp_" + "a1B2" * 9), "variable PLAIN", "--secret PLAIN", id="by-its-form"),
        pytest.param(stdio(DATABASE_URL=f"postgres://u:{VALUE}@db/x"), "variable DATABASE_URL", "--secret DATABASE_URL", id="in-a-url"),
        pytest.param(stdio(API_TOKEN="${OTHER}"), "refers to OTHER", "--secret OTHER=env://OTHER", id="reference"),
        pytest.param(stdio(X="${API_KEY}"), "refers to API_KEY", "--secret API_KEY", id="reference-by-its-name"),
        pytest.param(stdio(API_TOKEN="${API_TOKEN:-" + VALUE + "}"), "variable API_TOKEN", "--secret API_TOKEN", id="default"),
        pytest.param(stdio(X="${input:token}"), "${input:token}", "${NAME}", id="editor"),
        pytest.param(stdio("prog", f"--api-key={VALUE}"), "behind 'api-key'", "by a variable", id="option-equals"),
        pytest.param(stdio("prog", "--api-key", VALUE), "behind 'api-key'", "by a variable", id="option"),
        pytest.param(stdio("env", f"TOKEN={VALUE}", "prog"), "behind 'TOKEN'", "by a variable", id="env-command"),
        pytest.param(stdio("npx", "mcp-remote", "https://x", "--header", f"Authorization: Bearer {VALUE}"), "behind 'Authorization'", "by a variable", id="mcp-remote"),
        pytest.param(stdio("prog", f"postgres://u:{VALUE}@db/x"), "in word 2", "by a variable", id="url-word"),
        pytest.param(stdio("prog", "sk-ant-api03-" + "x" * 40), "in word 2", "by a variable", id="word-by-its-form"),
        pytest.param(docker("-e", f"TOKEN={VALUE}", "img"), "variable TOKEN", "--secret TOKEN=env://TOKEN", id="docker-e"),
        pytest.param(docker(f"-eTOKEN={VALUE}", "img"), "variable TOKEN", "--secret TOKEN", id="docker-e-joined"),
        pytest.param(docker("-ite", f"TOKEN={VALUE}", "img"), "variable TOKEN", "--secret TOKEN", id="docker-ite"),
        pytest.param(docker(f"--env=TOKEN={VALUE}", "img"), "variable TOKEN", "--secret TOKEN", id="docker-env-equals"),
        pytest.param(docker("-e", "TOKEN", "img"), "refers to TOKEN", "--secret TOKEN", id="docker-e-of-mine"),
        pytest.param(docker("-e", "TOKEN", "img", TOKEN=VALUE), "variable TOKEN", "--secret TOKEN", id="docker-env"),
        pytest.param(docker("img", "--token", VALUE), "behind 'token'", "by a variable", id="behind-the-image"),
        pytest.param(http(Authorization=f"Bearer {VALUE}"), "header Authorization", "--secret SRV_TOKEN=env://SRV_TOKEN --secret-host SRV_TOKEN=mcp.example.org", id="header"),
        pytest.param(http(X_Api_Key=VALUE), "header X-Api-Key", "--secret SRV_X_API_KEY=env://SRV_X_API_KEY --secret-host SRV_X_API_KEY=mcp.example.org", id="other-header"),
        pytest.param(http(f"https://u:{VALUE}@mcp.example.org/"), "address holds", "by a header", id="userinfo"),
        pytest.param(http(f"https://mcp.example.org/?api_key={VALUE}"), "address holds", "by a header", id="query"),
        pytest.param(http("https://mcp.example.org/sk-proj-" + "x" * 40 + "/mcp"), "address holds", "by a header", id="path"),
        pytest.param(http("https://${TOKEN}.example.org/"), "TOKEN", "", id="reference-in-a-url"),
        pytest.param(http("ftp://mcp.example.org/"), "none of http", "https://", id="scheme"),
    ],
)  # fmt: skip
def test_refused(server: McpServer, says: str, remedy: str) -> None:
    carried = carry([server, stdio(A="1")], NONE)
    assert carried.servers == (stdio(A="1"),)
    assert says in carried.problems[0][0]
    assert remedy in carried.problems[0][1]
    assert not any(VALUE in text or "x" * 40 in text or "a1B2" in text for problem in carried.problems for text in problem)


@pytest.mark.parametrize(
    ("server", "says"),
    [
        pytest.param(stdio(OPENAPI_MCP_HEADERS='{"Authorization": "Bearer ntn_abc"}'), "behind 'Authorization'", id="json"),
        pytest.param(stdio(CONFIG='{"token":"x"}'), "behind 'token'", id="json-short"),
        pytest.param(stdio(CONFIG='{"pin": {"apiKey": 4711}}'), "behind 'apiKey'", id="json-number"),
        pytest.param(stdio(CONFIG='{"a":[{"b":"{\\"token\\":\\"x\\"}"}]}'), "within", id="json-in-json"),
        pytest.param(stdio(CONFIG='{"a":' * 60 + '{"token":"x"}' + "}" * 60), "behind 'token'", id="json-deep"),
        pytest.param(stdio(CONFIG='{"a":' * 90_000 + '"x"' + "}" * 90_000), "CONFIG holds", id="json-too-deep"),
        pytest.param(stdio(CONFIG='[{"name":"Authorization","value":"x"}]'), "behind 'Authorization'", id="json-of-pairs"),
        pytest.param(stdio(CONFIG='{"args":["--token","x"]}'), "behind 'token'", id="json-of-words"),
        pytest.param(stdio(CONFIG='{"tokens":["x"], "password":["y"]}'), "behind 'password'", id="json-list"),
        pytest.param(stdio(CONN=f"Server=h;User Id=u;Password={VALUE};"), "behind 'Password'", id="connection"),
        pytest.param(stdio(CONN=f"Server=h; Access Token = {VALUE};"), "behind 'Access Token'", id="connection-with-blanks"),
        pytest.param(stdio(CONN=f"host=h user=u password={VALUE}"), "behind 'password'", id="libpq"),
        pytest.param(stdio(OPTS=f"a=1,api_key={VALUE}"), "behind 'api_key'", id="list"),
        pytest.param(stdio(PGPASS=VALUE), "variable PGPASS", id="pgpass"),
        pytest.param(stdio(OPTS=f"--user u --token {VALUE}"), "behind 'token'", id="options"),
        pytest.param(stdio(START=f"exec foo -H 'X-Api-Key: {VALUE}'"), "behind 'X-Api-Key'", id="shell-in-env"),
        pytest.param(stdio(LIKE=DRAWN), "variable LIKE", id="drawn"),
        pytest.param(stdio(LIKE=HEX), "variable LIKE", id="drawn-hex"),
        pytest.param(stdio(LIKE="k5tq2vhz7mxa3c4wjr6yb7od5nfe2usp"), "variable LIKE", id="drawn-base32"),
        pytest.param(stdio(LIKE="qL8+Zr3v/Q9xTb7LmW2pRd8sYcH4n0aF/u5G="), "variable LIKE", id="drawn-base64"),
        pytest.param(stdio(SESSION_ID=DRAWN), "variable SESSION_ID", id="session"),
        pytest.param(stdio("sh", "-c", f"exec foo --token {VALUE}"), "command holds a credential behind", id="shell"),
        pytest.param(stdio("sh", "-c", f"API_TOKEN='{VALUE}' foo"), "command holds a credential behind", id="shell-assignment"),
        pytest.param(stdio("sh", "-c", f'sh -c "foo --token {VALUE}"'), "command holds a credential behind", id="shell-in-shell"),
        pytest.param(stdio("sh", "-c", "foo <<EOF\n{\"token\":\"x1\"}\nEOF"), "command holds a credential behind", id="here-document"),
        pytest.param(stdio("prog", "-t", DRAWN), "word 2", id="short-option"),
        pytest.param(stdio("prog", "--config", '{"token":"x"}'), "command holds a credential behind", id="json-word"),
        pytest.param(stdio("npx", "mcp-remote", f"https://h.example/s/{DRAWN}/mcp"), "word 3", id="segment-of-a-word"),
        pytest.param(stdio("npx", "mcp-remote", "https://h.example/?a=1&token=x1"), "command holds a credential behind", id="query-of-a-word"),
        pytest.param(http("https://mcp.example.org/x#token=x1"), "address holds", id="fragment"),
        pytest.param(http("https://mcp.example.org/x?%74oken=x1"), "address holds", id="query-in-percents"),
        pytest.param(http(f"https://mcp.example.org/x?a=1&q={DRAWN}"), "address holds", id="query-drawn"),
        pytest.param(http(f"https://mcp.example.org/s/{DRAWN}/mcp"), "address holds", id="segment"),
        pytest.param(http(f"https://mcp.example.org/#{DRAWN}"), "address holds", id="fragment-drawn"),
        pytest.param(http("https://u@mcp.example.org/"), "address holds", id="user"),
        pytest.param(http(X_Team=DRAWN), "header X-Team", id="header-drawn"),
        pytest.param(http(X_Conf='{"token":"x1"}'), "behind 'token'", id="header-json"),
    ],
)  # fmt: skip
def test_refused_within_texts(server: McpServer, says: str) -> None:
    """What a name or a form gives away somewhere in a text, and long words by chance whatever they are called."""
    carried = carry([server], NONE)
    assert carried.servers == ()
    message, remedy = carried.problems[0]
    assert says in message
    assert "--secret " in remedy
    assert not any(secret in message + remedy for secret in (VALUE, DRAWN, HEX))


@pytest.mark.parametrize(
    "server",
    [
        pytest.param(stdio(HEADERS='{"Authorization": "Bearer ${SRV_TOKEN}", "X-Team": "7"}'), id="json-with-a-reference"),
        pytest.param(stdio(CONFIG='{"level":"debug","auth":false,"max_tokens":100,"token":""}'), id="json"),
        pytest.param(stdio(CONFIG='{"broken": '), id="half-json"),
        pytest.param(stdio(CONN="Server=h;User Id=u;Database=d;Password=${SRV_TOKEN};"), id="connection"),
        pytest.param(stdio(PGPASSFILE="/home/u/.pgpass", PGHOST="db"), id="file-of-passwords"),
        pytest.param(stdio(PROJECT="123e4567-e89b-12d3-a456-426614174000"), id="uuid"),
        pytest.param(stdio(SHEET_ID=DRAWN, CLIENT_ID=HEX), id="named-an-id"),
        pytest.param(stdio(MODEL="claude-sonnet-4-5-20250929", SINCE="20250929T101112.123456Z"), id="version"),
        pytest.param(stdio(TAG="manylinux2014_x86_64-cp311-abi3-musllinux_1_2"), id="platform"),
        pytest.param(stdio(FEATURES="enable_experimental_tools_2,mcpServerToolsByName"), id="names"),
        pytest.param(stdio(WORDS="the quick brown fox; jumps over the lazy dog"), id="prose"),
        pytest.param(stdio(DIR="/nix/store/8k2b1f0wz3xq5v7mphl9dn4rgc6jyasi-node-20.1/bin", P=f"/a:/b/{HEX}"), id="paths"),
        pytest.param(stdio("npx", "-y", "@modelcontextprotocol/server-filesystem@2025.8.21", "."), id="package"),
        pytest.param(stdio("uvx", "--from", f"git+https://github.com/a/b@{HEX}9a2feaa0", "b"), id="commit"),
        pytest.param(stdio("prog", "--project-id", DRAWN), id="id-option"),
        pytest.param(stdio("sh", "-c", "cd /work && exec foo --level debug > /tmp/log"), id="shell"),
        pytest.param(stdio("sh", "-c", 'exec foo --token "$TOKEN"'), id="shell-variable"),
        pytest.param(docker("-i", f"img@sha256:{HEX}{HEX}"), id="digest"),
        pytest.param(http("https://mcp.example.org/v1/projects/123e4567-e89b-12d3-a456-426614174000?read_only=true&features=database,docs"), id="address"),
        pytest.param(http(f"https://mcp.example.org/x?project_id={DRAWN}#top"), id="address-with-an-id"),
        pytest.param(http("http://localhost:3000/some-rather-long-name-of-a-server/mcp"), id="long-segment"),
        pytest.param(http(X_Team="platform-engineering-europe-west-1", X_Project_Id=DRAWN), id="headers"),
    ],
)  # fmt: skip
def test_nearest_texts_pass(server: McpServer) -> None:
    """References, ids by their form or name, versions, paths, pins."""
    assert carry([server], frozenset(["SRV_TOKEN"])).problems == ()


@pytest.mark.parametrize(
    ("server", "secret", "env"),
    [
        pytest.param(stdio(API_TOKEN=VALUE, A="1"), "API_TOKEN", {"API_TOKEN": "${API_TOKEN}", "A": "1"}, id="literal"),
        pytest.param(stdio(API_TOKEN="${OTHER}"), "OTHER", {"API_TOKEN": "${OTHER}"}, id="reference"),
        pytest.param(stdio(API_TOKEN="${API_TOKEN:-" + VALUE + "}"), "API_TOKEN", {"API_TOKEN": "${API_TOKEN}"}, id="default"),
        pytest.param(stdio(DATABASE_URL=f"postgres://u:{VALUE}@db/x"), "DATABASE_URL", {"DATABASE_URL": "${DATABASE_URL}"}, id="url"),
        pytest.param(docker("-e", f"TOKEN={VALUE}", "img"), "TOKEN", {"TOKEN": "${TOKEN}"}, id="docker-e"),
        pytest.param(docker("-e", "TOKEN", "img"), "TOKEN", {"TOKEN": "${TOKEN}"}, id="docker-e-alone"),
        pytest.param(docker("-e", "PLAIN", "img"), "PLAIN", {"PLAIN": "${PLAIN}"}, id="docker-e-of-a-secret"),
    ],
)
def test_stand_ins(server: McpServer, secret: str, env: dict[str, str]) -> None:
    """With a secret of that name, the reference stands in place of the value."""
    carried = carry([server], frozenset([secret]))
    assert carried.problems == ()
    assert dict(carried.servers[0].env) == env
    assert not any(VALUE in word for word in carried.servers[0].command)


@pytest.mark.parametrize(
    ("words", "carried"),
    [
        (("-i", "-e", f"TOKEN={VALUE}", "--rm", "img", "x"), ("-i", "-e", "TOKEN", "--rm", "img", "x")), ((f"-eTOKEN={VALUE}", "img"), ("-eTOKEN", "img")),
        ((f"--env=TOKEN={VALUE}", "img"), ("--env=TOKEN", "img")), (("-ite", f"TOKEN={VALUE}", "img"), ("-ite", "TOKEN", "img")), (("-e", "A=1", "img"), ("-e", "A", "img")),
    ],
)  # fmt: skip
def test_words_of_docker(words: tuple[str, ...], carried: tuple[str, ...]) -> None:
    (server,) = carry([docker(*words)], frozenset(["TOKEN"])).servers
    assert server.command == ("docker", "run", *carried)


@pytest.mark.parametrize(
    ("header", "secret", "becomes"),
    [
        ({"Authorization": f"Bearer {VALUE}"}, "SRV_TOKEN", "Bearer ${SRV_TOKEN}"), ({"Authorization": VALUE}, "SRV_TOKEN", "${SRV_TOKEN}"),
        ({"X_Api_Key": VALUE}, "SRV_X_API_KEY", "${SRV_X_API_KEY}"), ({"Authorization": "Bearer ${MINE}"}, "MINE", "Bearer ${MINE}"), ({"Authorization": "token ${MINE}"}, "MINE", "token ${MINE}"),
    ],
)  # fmt: skip
def test_headers(header: dict[str, str], secret: str, becomes: str) -> None:
    carried = carry([http(**header)], frozenset([secret]))
    assert carried.problems == ()
    assert carried.servers[0].headers[0][1] == becomes


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("https://mcp.example.org/x", "mcp.example.org"), ("https://MCP.example.org:8443/x", "mcp.example.org:8443"), ("http://mcp.example.org/", "mcp.example.org:80"), ("https://[2001:db8::1]/", "[2001:db8::1]"),
        ("http://localhost:3000/mcp", None), ("http://127.0.0.1:3000/mcp", None), ("http://[::1]:3000/", None),
    ],
)  # fmt: skip
def test_rules(url: str, rule: str | None) -> None:
    assert needed_rules([http(url), stdio()]) == ((("srv", rule),) if rule else ())


TEXTS = st.text(st.sampled_from('aZ0-_=:/@?.$ {}[]%TOKENenv"\\\n'), max_size=24)


@settings(max_examples=300, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=5), st.dictionaries(TEXTS, TEXTS, max_size=3), TEXTS)
def test_any_texts(words: list[str], pairs: dict[str, str], url: str) -> None:
    """Any server is carried or refused; and what is carried once is carried again as it is."""
    found = (McpServer("a", "stdio", tuple(words), tuple(pairs.items())), McpServer("b", "http", url=url, headers=tuple(pairs.items())))
    carried = carry(found, frozenset(["TOKEN"]))
    assert carry(carried.servers, frozenset(["TOKEN"])) == (carried.__class__(carried.servers, ()))
    needed_rules(found)
