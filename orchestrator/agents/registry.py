"""Where an npm package comes from, by the user's own npm configuration: registries, scopes, credentials. Pure.

https://docs.npmjs.com/cli/v11/configuring-npm/npmrc : a registry's credentials are keys that begin with its address without the scheme.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from orchestrator.agents.lock import NpmPackage


@dataclass(frozen=True, slots=True)
class Source:
    """``values``: npm's settings by key. ``default``: the registry where they name none."""

    values: Mapping[str, str] = field(repr=False)  # passwords are among them
    default: str

    def registry(self, name: str) -> str:
        """The registry of a package, without a slash at its end."""
        scope = name.partition("/")[0] if name.startswith("@") else ""
        found = (self.values.get(f"{scope}:registry") if scope else None) or self.values.get("registry") or self.default
        return found.rstrip("/")

    def url(self, package: NpmPackage) -> str:
        """The address of the package's archive."""
        base = package.name.rpartition("/")[2]
        return f"{self.registry(package.name)}/{quote(package.name, safe='@/')}/-/{quote(base)}-{quote(package.version)}.tgz"

    def headers(self, url: str) -> dict[str, str]:
        """Who the user is for ``url``: the settings of the longest address that it begins with."""
        for key in _places(url):
            if token := self.values.get(f"{key}:_authToken"):
                return {"Authorization": f"Bearer {token}"}
            if pair := self.values.get(f"{key}:_auth"):
                return {"Authorization": f"Basic {pair}"}
            user, password = self.values.get(f"{key}:username"), self.values.get(f"{key}:_password")
            if user and password:
                return {"Authorization": f"Basic {_basic(user, password)}"}
        return {}

    def authorities(self) -> str | None:
        """The file of certificate authorities that npm is told to trust."""
        return self.values.get("cafile") or None


def without_users(values: Mapping[str, str]) -> dict[str, str]:
    """``https://USER:PASSWORD@HOST/`` as an address without them, and a credential for it."""
    found = dict(values)
    for key, value in values.items():
        if key != "registry" and not key.endswith(":registry"):
            continue
        scheme, slashes, rest = value.partition("://")
        user, at, place = rest.partition("/")[0].rpartition("@")
        if slashes and at:
            address = f"//{place}/{rest.partition('/')[2]}".rstrip("/") + "/"
            found[key] = f"{scheme}:{address}"
            name, _, password = user.partition(":")
            found.setdefault(f"{address}:_auth", base64.b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode())
    return found


def proxied(values: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` with npm's own proxies, which it prefers to those of the environment."""
    own = {
        "https_proxy": values.get("https-proxy") or values.get("proxy"),
        "no_proxy": values.get("noproxy") or values.get("no-proxy"),
    }
    return {**environ, **{name: value for name, value in own.items() if value and value not in ("null", "false")}}


def _places(url: str) -> Sequence[str]:
    """``//host/a/b/``, ``//host/a/``, ``//host/``, each also without its last slash."""
    parts = urlsplit(url)
    folders = parts.path.split("/")[1:-1]
    found = [f"//{parts.netloc}/" + "".join(f"{folder}/" for folder in folders[:count]) for count in range(len(folders), -1, -1)]
    return [spelling for one in found for spelling in (one, one.rstrip("/"))]


def _basic(user: str, password: str) -> str:
    """npm keeps the password in base64."""
    try:
        plain = base64.b64decode(password, validate=True)
    except ValueError:
        plain = password.encode()
    return base64.b64encode(user.encode() + b":" + plain).decode()
