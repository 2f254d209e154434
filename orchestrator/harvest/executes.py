"""Which changed files a tool on the host would later execute, or obey, without being asked. Pure: rows, matched without regard to case.

A file that is named here is not refused. It is pointed out, because merging it gives the agent a way to run code outside.
"""

import re
from functools import cache

# One part of the path is enough.
ANY_PART: tuple[str, ...] = (
    ".git*",  # .gitattributes names filters, .gitmodules URLs, .github workflows, .gitlab-ci.yml jobs
    ".vscode",
    ".idea",
    ".fleet",
    ".zed",
    ".claude",
    ".cursor",
    ".codex",
    ".gemini",
    ".qwen",
    ".opencode",
    ".aider*",
    ".aienv*",
    ".devcontainer",
    ".husky",
    ".githooks",
    ".circleci",
    ".buildkite",
    ".woodpecker*",
    ".direnv",
    ".yarn",
    ".cargo",
    ".mvn",
    ".bundle",
    ".terraform",
    "buildsrc",
)

# The last part of the path.
FILE_NAMES: tuple[str, ...] = (
    # agents and editors
    ".mcp.json", "mcp.json", ".mcp.*.json", ".cursorrules", ".windsurfrules", "claude.md", "agents.md", "gemini.md",
    "opencode.json*", "*.code-workspace",
    ".editorconfig", ".vimrc", ".exrc", ".nvimrc", ".nvim.lua", ".dir-locals.el", ".sublime-project",
    # shells and version managers
    ".envrc", ".env", ".tool-versions", "mise.toml", ".mise.toml", ".bashrc", ".profile", ".zshrc", ".bash_profile", ".zprofile",
    ".inputrc",
    # hooks and continuous integration
    ".pre-commit-config.yaml", "lefthook.y*ml", ".lefthook.y*ml", "lefthook.toml", ".huskyrc*", ".overcommit.yml", ".travis.yml",
    "azure-pipelines.y*ml",
    "jenkinsfile*", ".drone.yml", "bitbucket-pipelines.yml", "appveyor.yml", ".appveyor.yml", "cloudbuild.y*ml", "buildspec.y*ml",
    "renovate.json*",
    # containers
    "dockerfile*", "*.dockerfile", "containerfile*", "compose.y*ml", "compose.*.y*ml", "docker-compose*.y*ml", "docker-bake.*",
    "devcontainer.json",
    ".devcontainer.json", "vagrantfile", "skaffold.y*ml", "tiltfile",
    # make and its kin
    "makefile*", "gnumakefile*", "*.mk", "*.mak", "justfile", ".justfile", "taskfile.y*ml", "taskfile.*.y*ml", "magefile.go",
    "rakefile", "*.rake", "sconstruct",
    "sconscript", "meson.build", "meson_options.txt", "cmakelists.txt", "*.cmake", "cmakepresets.json", "cmakeuserpresets.json",
    "configure", "configure.ac",
    "wscript", "build.ninja", "earthfile", "dodo.py", "noxfile.py", "tox.ini", "fabfile.py", "tasks.py",
    # Python
    "setup.py", "setup.cfg", "pyproject.toml", "conftest.py", "pytest.ini", "sitecustomize.py", "usercustomize.py", "*.pth",
    "hatch.toml", "pdm.toml",
    ".pdbrc", ".pylintrc", "pylintrc", "mypy.ini", ".mypy.ini", "requirements*.txt",
    # JavaScript
    "package.json", ".npmrc", ".yarnrc*", ".pnp.*", ".pnpmfile.cjs", "pnpm-workspace.yaml", "bunfig.toml", "deno.json*",
    "*.config.js", "*.config.cjs",
    "*.config.mjs", "*.config.ts", "*.config.mts", ".eslintrc*", ".prettierrc*", ".babelrc*", "gulpfile*", "gruntfile*",
    "jakefile*", ".mocharc*", "nx.json",
    # others
    "build.rs", "cargo.toml", "rust-toolchain*", "build.gradle*", "settings.gradle*", "gradle.properties", "gradlew",
    "gradlew.bat", "init.gradle*",
    "gradle-wrapper.*", "pom.xml", "mvnw", "mvnw.cmd", "build.sbt", "*.sbt", "build.xml", "gemfile", "*.gemspec", "composer.json",
    "mix.exs", "package.swift",
    "podfile", "*.csproj", "*.fsproj", "*.vbproj", "*.proj", "*.targets", "*.props", "nuget.config", "workspace",
    "workspace.bazel", "module.bazel", "build",
    "build.bazel", ".bazelrc", "*.bzl", "flake.nix", "shell.nix", "default.nix", "*.tf", "dune", "dune-project", "build.zig",
    "project.clj", "stack.yaml",
    "*.cabal", "go.work", "go.mod", "procfile",
)  # fmt: skip

EXECUTABLE_MODE = "100755"
GITLINK_MODE = "160000"


@cache  # compiled when the first result is judged: a start-up pays nothing for it
def _pattern(globs: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(
        "|".join("".join({"*": ".*"}.get(char, re.escape(char)) for char in glob) for glob in globs), re.IGNORECASE | re.DOTALL
    )


def host_executes(status: str, path: str, old_mode: str, new_mode: str) -> bool:
    """Whether a tool on the host may run or obey the file: by its name, because it becomes executable, or because it is a repository.

    ``status`` is git's letter; a deleted file executes nothing, but a deleted rule file may lift a protection, so names count for it too.
    """
    if status != "D" and new_mode in (EXECUTABLE_MODE, GITLINK_MODE) and new_mode != old_mode:
        return True
    parts = path.split("/")
    return any(_pattern(ANY_PART).fullmatch(part) for part in parts) or _pattern(FILE_NAMES).fullmatch(parts[-1]) is not None
