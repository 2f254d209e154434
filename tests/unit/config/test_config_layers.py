"""Layers: who wins, what a repository may tighten, what the organisation keeps to itself."""

import itertools

import pytest

from orchestrator.config.document import Document, read_document
from orchestrator.config.layers import LAYERS, REPOSITORY_LAYERS, Layer, Policy, Settings, Source, explain, resolve
from orchestrator.config.schema import KEYS
from orchestrator.errors import UsageError

Files = dict[Layer, str]
POLICY = "/etc/aienv/policy.yaml"


def document(layer: Layer, text: str) -> Document:
    return read_document(text.encode(), {"organisation": POLICY, "repository": ".aienv.yaml"}.get(layer, layer), "policy")


def settings(files: Files, locked: str | None = None) -> Settings:
    """Resolve layers that are written as YAML."""
    sources = [Source(layer, document(layer, text).values) for layer, text in files.items()]
    policy = Policy(POLICY, document("organisation", f"locked: {locked}").locked) if locked is not None else None
    return resolve(sources, policy, "config.yaml")


def test_stronger_layers_win() -> None:
    """Each layer beats the ones below it, whichever order they come in."""
    layers: list[Layer] = [layer for layer in LAYERS if layer not in ("built-in", "locked") and layer not in REPOSITORY_LAYERS]
    for count in range(1, len(layers) + 1):
        files: Files = {layer: f"limits: {{pids: {100 + place}}}" for place, layer in reversed(list(enumerate(layers[:count])))}
        winner = settings(files)["limits.pids"]
        assert (winner.value, winner.layer) == (99 + count, layers[count - 1])
    assert settings({})["limits.pids"].value == 512


def test_free_keys_take_part_in_the_order() -> None:
    """A repository's prompt beats the user's configuration and is beaten by a flag; its task beats its configuration."""
    files: Files = {"user": "prompt: u", "repository": "prompt: r", "repository task": "prompt: t", "flags": "prompt: f"}
    assert settings(files)["prompt"].value == "f"
    del files["flags"]
    assert settings(files)["prompt"].value == "t"
    del files["repository task"]
    assert settings(files)["prompt"].value == "r"


TIGHTER: list[tuple[str, str, str, str]] = [
    # user's side, what the repository may say, what it may not, and the remedy
    ("limits: {memory: 8g}", "limits: {memory: 8g}", "limits: {memory: 9g}", "--memory 9g"),
    ("limits: {cpus: 1}", "limits: {cpus: 0.5}", "limits: {cpus: 1.5}", "--cpus 1.5"),
    ("limits: {timeout: 1h}", "limits: {timeout: 10m}", "limits: {timeout: 61m}", "--timeout 1h1m"),
    ("limits: {pids: 100}", "limits: {pids: 16}", "limits: {pids: 101}", "--pids 101"),
    ("limits: {disk: 1g}", "limits: {disk: 1g}", "limits: {disk: 1025m}", "--disk 1025m"),
    ("{}", "limits: {output: 1m}", "limits: {output: 512m}", 'add limits: {output: "512m"} to config.yaml'),
    ("{}", "limits: {open_files: 100}", "limits: {open_files: 8192}", 'add limits: {open_files: "8192"} to config.yaml'),
    ("{}", "limits: {grace: 1s}", "limits: {grace: 1m}", 'add limits: {grace: "1m"} to config.yaml'),
    ("{}", "backend: docker", "backend: local", "--backend local"),
    ("require_isolation: sandbox", "require_isolation: container", "require_isolation: any", "--require-isolation any"),
    ("{}", "docker: guarded", "docker: full", "--docker full"),
    ("docker: readonly", "docker: none", "docker: auto", "--docker auto"),
    ("docker: guarded", "docker: auto", "docker: full", "--docker full"),
    ("guard: {images: ['redis:7']}", "guard: {images: ['redis:7']}", "guard: {images: ['redis:8']}", "--allow-image redis:8"),
    ("devcontainer: {grants: ['network:build']}", "devcontainer: {grants: ['network:build']}", "devcontainer: {grants: [privileged]}",
     "--grant privileged"),
    ("guard: {mcp: [/a]}", "guard: {mcp: [/a]}", "guard: {mcp: [~/b]}", 'add guard: {mcp: ["~/b"]} to config.yaml'),
    ("{}", "guard: {learn: false}", "guard: {learn: true}", "add guard: {learn: true} to config.yaml"),
    ("{}", "guard: {containers: 32}", "guard: {containers: 33}", 'add guard: {containers: "33"} to config.yaml'),
    ("{}", "guard: {memory: 1g}", "guard: {memory: 9g}", 'add guard: {memory: "9g"} to config.yaml'),
    ("guard: {cpus: 8}", "guard: {cpus: 8}", "guard: {cpus: 8.5}", 'add guard: {cpus: "8.5"} to config.yaml'),
    ("{}", "guard: {pids: 64}", "guard: {pids: 4097}", 'add guard: {pids: "4097"} to config.yaml'),
    ("{}", "guard: {volumes: 0}", "guard: {volumes: 33}", 'add guard: {volumes: "33"} to config.yaml'),
    ("{}", "guard: {networks: 1}", "guard: {networks: 13}", 'add guard: {networks: "13"} to config.yaml'),
    ("{}", "guard: {execs: 1}", "guard: {execs: 65}", 'add guard: {execs: "65"} to config.yaml'),
    ("{}", "guard: {ports: 1}", "guard: {ports: 129}", 'add guard: {ports: "129"} to config.yaml'),
    ("{}", "network: {mode: none}", "network: {mode: learn}", "--network learn"),
    ("network: {mode: learn}", "network: {mode: allowlist}", "network: {mode: open}", "--network open"),
    ("network: {mode: none}", "network: {mode: none}", "network: {mode: allowlist}", "--network allowlist"),
    ("network: {allow: [a.org]}", "network: {allow: [a.org]}", "network: {allow: [b.org]}", "--allow-host b.org"),
    ("network: {allow: ['*.a.org']}", "network: {allow: [x.a.org]}", "network: {allow: [a.org]}", "--allow-host a.org"),
    ("network: {allow: ['*.a.org']}", "network: {allow: ['*.x.a.org']}", "network: {allow: [xa.org]}", "--allow-host xa.org"),
    ("network: {allow: ['*.a.org']}", "network: {allow: [y.x.a.org]}", "network: {allow: ['x.a.org:22']}", "--allow-host x.a.org:22"),
    ("network: {allow: [a.org]}", "network: {allow: []}", "network: {allow: ['*.a.org']}", "--allow-host '*.a.org'"),
    (
        "network: {presets: [pypi]}",
        "network: {presets: [pypi]}",
        "network: {presets: [npm]}",
        "--preset npm",
    ),
    ("network: {allow: ['*.a.org']}", "network: {allow: ['GET x.a.org/y']}", "network: {allow: ['tcp://x.a.org:443']}", "--allow-host tcp://x.a.org:443"),
    ("network: {allow: ['GET a.org']}", "network: {allow: ['GET a.org']}", "network: {allow: [a.org]}", "--allow-host a.org"),
    ("{}", "network: {deny: [a.org]}", "network: {private: [172.20.0.0/16]}", "--allow-private 172.20.0.0/16"),
    ("secrets: [A]", "secrets: [A]", "secrets: [B]", "--secret B"),
    ("secrets: [A]", "secrets: [A]", "secrets: ['A=file:///etc/passwd']", "--secret A=file:///etc/passwd"),
    ("setup_secrets: [A]", "setup_secrets: [A]", "setup_secrets: [B]", "--setup-secret B"),
    ("secret_hosts: [A=a.org]", "secret_hosts: [A=a.org]", "secret_hosts: [A=b.org]", "--secret-host A=b.org"),
    ("git: {read: [a.org/x]}", "git: {read: [a.org/x]}", "git: {read: [a.org/y]}", "--git-read a.org/y"),
    ("git: {push: [a.org/x]}", "git: {push: [a.org/x]}", "git: {push: [a.org/y]}", "--git-push a.org/y"),
    ("git: {ssh: a.org}", "git: {ssh: a.org}", "git: {ssh: b.org}", "--git-ssh b.org"),
    ("{}", "sandbox: {mask: [private/*]}", "sandbox: {unmask: [.env]}", 'add sandbox: {unmask: [".env"]} to config.yaml'),
    (
        "sandbox: {expose: [/opt/x]}",
        "sandbox: {expose: [/opt/x]}",
        "sandbox: {expose: [/opt]}",
        'add sandbox: {expose: ["/opt"]} to config.yaml',
    ),
    ("{}", "output: {push: false}", "output: {push: true}", "--push"),
    ("{}", "output: {branch: aienv/x}", "output: {branch: main}", "--branch main"),
    ("{}", "keep: false", "keep: true", "--keep"),
    ("{}", "tty: false", "tty: true", "add tty: true to config.yaml"),
    ("{}", "with_changes: false", "with_changes: true", "--with-changes"),
    ("submodules: false", "submodules: false", "submodules: true", "add submodules: true to config.yaml"),
    ("lfs: false", "lfs: false", "lfs: true", "add lfs: true to config.yaml"),
    ("ref: main", "ref: main", "ref: other", "--ref other"),
    ("repo: /a", "repo: /a", "repo: /b", "--repo /b"),
    ("{}", "env: {DJANGO_SETTINGS_MODULE: a.b}", "env: {LD_PRELOAD: ./x.so}", "--env LD_PRELOAD=./x.so"),
    ("agent_args: [--fast]", "agent_args: [--fast]", "agent_args: [--slow]", "--agent-arg --slow"),
    ("permission_mode: ask", "permission_mode: plan", "permission_mode: bypass", "--permission-mode bypass"),
    ("deny: {fetch: true}", "deny: {fetch: true}", "deny: {fetch: false}", "add deny: {fetch: false} to config.yaml"),
    ("deny: {except: [curl]}", "deny: {except: [curl]}", "deny: {except: [wget]}", 'add deny: {except: ["wget"]} to config.yaml'),
    ("{}", "hooks: true", "hooks: false", "add hooks: false to config.yaml"),
    ("mcp: [/a]", "mcp: [/a]", "mcp: [/b]", "--mcp-config /b"),
    (f"agent_files: [.mcp.json@sha256:{'0' * 64}]", "agent_files: []", f"agent_files: [.mcp.json@sha256:{'1' * 64}]",
     f"--agent-file .mcp.json@sha256:{'1' * 64}"),
    ("limits: {idle: 5m}", "limits: {idle: 1m}", "limits: {idle: 6m}", "--idle-timeout 6m"),
    ("limits: {cost: 2}", "limits: {cost: 1}", "limits: {cost: 3}", "--max-cost 3"),
    ("limits: {turns: 20}", "limits: {turns: 10}", "limits: {turns: 30}", "--max-turns 30"),
    ("env: {PATH: /bin}", "env: {PATH: /bin}", "env: {PATH: ./bin}", "--env PATH=./bin"),
    ("{}", "env: {PORT: 80}", "env: {ANTHROPIC_BASE_URL: 'http://x'}", "--env ANTHROPIC_BASE_URL=http://x"),
]


@pytest.mark.parametrize("layer", sorted(REPOSITORY_LAYERS))
@pytest.mark.parametrize(("user", "fine", "refused", "remedy"), TIGHTER)
def test_a_repository_may_only_tighten(layer: Layer, user: str, fine: str, refused: str, remedy: str) -> None:
    """For each key: what tightens is taken, its nearest looser neighbour is refused with the line that would grant it."""
    kept = settings({"user": user, layer: fine})
    assert kept.violations == ()
    have = settings({"user": user})
    got = settings({"user": user, layer: refused})
    assert [violation.remedy for violation in got.violations] == [remedy]
    key = got.violations[0].key
    assert got.values[key].value == have.values[key].value, "a refused ask has no effect"


def test_every_key_with_a_rule_is_in_the_table() -> None:
    """Nobody adds a key that a repository may only tighten without saying what that means."""
    may_add = {"sandbox.mask", "network.deny", "guard.compose", "deny.read", "deny.run"}
    tested = {key for *_, refused, _ in TIGHTER for key in document("repository", refused).values} | may_add
    free = {
        "name",
        "agent",
        "prompt",
        "model",
        "command",
        "setup",
        "checks",
        "verify",
        "artifacts",
        "environment.image",
        "environment.template",
        "environment.devcontainer",
    }
    assert tested | free == set(KEYS)
    assert not tested & free


@pytest.mark.parametrize(
    ("refused", "grant"),
    [
        ("limits: {memory: 9g}", "limits: {memory: 9g}"),
        ("docker: full", "docker: full"),
        ("network: {mode: open}", "network: {mode: open}"),
        ("network: {allow: [b.org]}", "network: {allow: [b.org]}"),
        ("secrets: [B]", "secrets: [B]"),
        ("keep: true", "keep: true"),
        ("output: {branch: main}", "output: {branch: main}"),
        ("env: {PATH: ./bin}", "env: {PATH: ./bin}"),
        ("env: {PATH: ./bin}", "env: {PATH: /usr/bin}"),
    ],
)
@pytest.mark.parametrize("layer", ["task file", "environment", "flags"])
def test_what_the_user_grants_is_no_violation(layer: Layer, refused: str, grant: str) -> None:
    """The remedy works: the same ask passes once the user's side says so, and the user's own value holds."""
    assert settings({"repository": refused}).violations
    got = settings({"repository": refused, layer: grant})
    assert got.violations == ()
    key = next(iter(document("user", grant).values))
    assert got[key].layer == layer


def test_a_flag_answers_the_repository() -> None:
    """A flag stands above the repository: its value holds, whether looser or stricter than what was asked."""
    looser = settings({"repository": "limits: {memory: 2g}", "flags": "limits: {memory: 6g}"})
    stricter = settings({"repository": "limits: {memory: 6g}", "flags": "limits: {memory: 2g}"})
    assert (looser["limits.memory"].value, looser.violations) == (6 << 30, ())
    assert (stricter["limits.memory"].value, stricter.violations) == (2 << 30, ())
    assert [entry.status for entry in stricter["limits.memory"].entries] == ["overridden", "overridden", "wins"]


def test_two_repository_layers_are_both_judged() -> None:
    """A repository's task cannot lean on the repository's own configuration."""
    got = settings({"repository": "secrets: [A]\nlimits: {pids: 100}", "repository task": "secrets: [A]\nlimits: {pids: 200}"})
    assert [(violation.key, violation.where) for violation in got.violations] == [
        ("secrets", ".aienv.yaml:1"),
        ("secrets", "repository task:1"),
    ]
    assert got["limits.pids"].value == 200


def test_lists_join_and_each_ask_is_judged() -> None:
    """Granted items are fine, each other item is one violation, none of those takes effect."""
    got = settings(
        {"user": "network: {allow: [a.org]}", "repository": "network: {allow: [a.org, b.org, c.org]}", "flags": "network: {allow: [d.org]}"}
    )
    assert got["network.allow"].value == ("a.org", "d.org")
    assert [violation.asked for violation in got.violations] == ["b.org", "c.org"]
    assert str(got.violations[0]) == "network.allow: .aienv.yaml:1 asks for b.org, granted is [a.org, d.org]"
    masks = settings({"user": "sandbox: {mask: [u]}", "repository": "sandbox: {mask: [r, u]}"})["sandbox.mask"].value
    assert isinstance(masks, tuple)
    assert masks[-2:] == ("u", "r")
    assert ".env" in masks


def test_variables_merge_by_name() -> None:
    """The strongest layer wins for each name; a repository's refused one goes, its others stay."""
    got = settings({"user": "env: {A: u, B: u}", "repository": "env: {B: r, C: r, PATH: r}", "flags": "env: {C: f}"})
    assert got["env"].value == (("A", "u"), ("B", "r"), ("C", "f"))
    assert [violation.asked for violation in got.violations] == ["PATH"]


@pytest.mark.parametrize("value", ["'\\e[2J'", "'" + "x" * 500 + "'", '"a\\u202eb"'])
def test_remedies_do_not_repeat_odd_text(value: str) -> None:
    """What would steer a terminal or fill a screen is not part of a message."""
    text = value if value.startswith('"') else value.replace("'", '"')
    remedy = settings({"repository": f"env: {{PATH: {text}}}"}).violations[0].remedy
    assert remedy == "set PATH under env: in config.yaml"


STEERING = [
    "LD_PRELOAD",
    "PATH",
    "http_proxy",
    "HTTPS_PROXY",
    "GIT_SSH_COMMAND",
    "DOCKER_HOST",
    "NODE_OPTIONS",
    "PYTHONSTARTUP",
    "BASH_ENV",
    "OPENAI_BASE_URL",
    "MY_API_KEY",
    "SSL_CERT_FILE",
    "ENV",
    "HOME",
]


@pytest.mark.parametrize("name", STEERING)
def test_steering_variables_are_asked_for(name: str) -> None:
    """Variables that steer programs, proxies or credentials need the user's word."""
    assert settings({"repository": f"env: {{{name}: x}}"}).violations


@pytest.mark.parametrize(
    "name",
    ["PORT", "DJANGO_SETTINGS_MODULE", "RUST_LOG", "PATHS", "MYPATH", "ENVIRONMENT", "KEYBOARD", "PYTHONDONTWRITEBYTECODE", "NODE_ENV"],
)
def test_plain_variables_are_not(name: str) -> None:
    """The nearest neighbours of the steering ones."""
    assert settings({"repository": f"env: {{{name}: x}}"}).violations == ()


def test_locked_values_win_over_everything() -> None:
    """Files and variables are told that they have no effect; a flag that tries otherwise is refused."""
    files: Files = {
        "organisation": "docker: readonly",
        "user": "docker: guarded",
        "repository": "docker: none",
        "environment": "docker: auto",
    }
    got = settings(files, "[docker]")
    assert (got["docker"].value, got["docker"].layer, got["docker"].where) == ("readonly", "locked", f"{POLICY}:1")
    assert got.violations == ()
    assert len(got.warnings) == 3
    assert got.warnings[0] == f"user:1: docker has no effect: {POLICY} locks it to readonly"
    refused = settings({**files, "flags": "docker: none"}, "[docker]")
    assert [(violation.key, violation.remedy) for violation in refused.violations] == [("docker", f"leave docker out: {POLICY} locks it")]
    assert settings({**files, "flags": "docker: readonly"}, "[docker]").violations == ()


def test_locked_lists_and_locked_defaults() -> None:
    """A locked list takes no more items; a key that is locked without a value keeps the built-in one."""
    got = settings(
        {"organisation": "network: {allow: [a.org]}", "user": "network: {allow: [b.org]}", "flags": "network: {allow: [a.org, c.org]}"},
        "[network]",
    )
    assert got["network.allow"].value == ("a.org",)
    assert [violation.asked for violation in got.violations] == ["c.org"]
    assert got["network.mode"].value == "allowlist"
    assert [violation.asked for violation in settings({"flags": "network: {mode: open}"}, "[network]").violations] == ["open"]
    assert settings({"flags": "network: {mode: open}"}, "[docker]").violations == ()


def test_a_repository_that_asks_for_more_than_a_lock_is_refused() -> None:
    """Silence would let the task fail later for a reason that nobody sees."""
    got = settings({"organisation": "limits: {memory: 2g}", "repository": "limits: {memory: 3g}"}, "[limits.memory]")
    assert [violation.remedy for violation in got.violations] == [f"leave limits.memory out: {POLICY} locks it"]
    tighter = settings({"organisation": "limits: {memory: 2g}", "repository": "limits: {memory: 1g}"}, "[limits.memory]")
    assert (tighter.violations, tighter["limits.memory"].value) == ((), 2 << 30)


def test_without_a_lock_the_organisation_is_a_default() -> None:
    """What is not locked the user may change."""
    assert settings({"organisation": "docker: none", "user": "docker: guarded"})["docker"].value == "guarded"


def test_explain() -> None:
    """All layers' values, strongest first, and the winner."""
    got = explain(
        settings({"user": "limits: {memory: 8g}", "repository": "limits: {memory: 9g}", "repository task": "limits: {memory: 6g}"}),
        "limits.memory",
    )
    assert (got.value, got.winner, got.where) == ("6g", "repository task", "repository task:1")
    assert got.lines == (
        ("repository task", "repository task:1", "6g", "wins"),
        ("repository", ".aienv.yaml:1", "9g", "refused"),
        ("user", "user:1", "8g", "overridden"),
        ("built-in", "built in", "4g", "overridden"),
    )
    with pytest.raises(UsageError, match=r"unknown key 'limits\.memroy', perhaps 'limits\.memory'\?"):
        explain(settings({}), "limits.memroy")


@pytest.mark.parametrize("key", sorted(KEYS))
def test_explain_every_key(key: str) -> None:
    """Every key can be explained, and no variable's value is shown."""
    files: Files = {"user": "env: {A: hidden-value}\ncommand: [a]\nkeep: true"}
    got = explain(settings(files), key)
    assert got.value
    assert "hidden-value" not in str(got)


CHOICES = {"docker": ["auto", "none", "readonly", "guarded", "full"], "network.mode": ["none", "allowlist", "learn", "open"]}


@pytest.mark.parametrize("key", sorted(CHOICES))
def test_no_repository_value_is_looser_than_the_user(key: str) -> None:
    """For each pair: alone or together, both repository layers never reach what the user would not have."""
    group, _, name = key.partition(".")
    looseness = {"none": 0, "readonly": 1, "auto": 2, "guarded": 2, "full": 3, "allowlist": 1, "learn": 2, "open": 3}

    def text(value: str) -> str:
        return f"{group}: {{{name}: {value}}}" if name else f"{key}: {value}"

    for user, first, second in itertools.product(CHOICES[key], repeat=3):
        got = settings({"user": text(user), "repository": text(first), "repository task": text(second)})
        assert looseness[str(got[key].value)] <= looseness[user]
        assert len(got.violations) == sum(looseness[ask] > looseness[user] for ask in (first, second))
