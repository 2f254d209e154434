"""An image in which the remote user has the caller's uid and gid, so that files of the workspace have one owner.

The script reads /etc/passwd line by line and compares whole names: a user ``dev`` is not ``xdev``. It says whether it changed anything;
where it did not, the name of what would have been made leads to the image itself, and the next caller need not look again.
"""

from orchestrator.devcontainer.engine import Docker
from orchestrator.devcontainer.images import building, context, naming
from orchestrator.devcontainer.images.image import How, hold, if_here, made_before
from orchestrator.devcontainer.images.layer import failure_lines, plain
from orchestrator.devcontainer.images.quoting import exec_form, user_instruction
from orchestrator.devcontainer.jsonc import Object

UNCHANGED = "[aienv uid] unchanged"

# $1: the user; $2, $3: the uid and gid to have. Nothing but a POSIX shell and chown; only a whole new file replaces an old one's content.
SCRIPT = r"""
set -e
unchanged() { echo "[aienv uid] unchanged: $1"; exit 0; }
[ -r /etc/passwd ] || unchanged "there is no /etc/passwd"
uid= gid= home= sharing= holder=
while IFS=: read -r name password number group rest || [ -n "$name" ]; do
  if [ "$name" = "$1" ] && [ -z "$uid" ]; then
    uid=$number gid=$group home=${rest#*:}
    home=${home%%:*}
  elif [ "$number" = "$2" ]; then
    holder=$name
  fi
done </etc/passwd
[ -n "$uid" ] || unchanged "no such user in /etc/passwd"
[ "$uid" != 0 ] || unchanged "the user is root"
[ "$uid:$gid" != "$2:$3" ] || unchanged "it has them already"
[ "$uid" = "$2" ] || [ -z "$holder" ] || unchanged "another user has the uid: $holder"
while IFS=: read -r name password number group rest || [ -n "$name" ]; do
  [ "$name" = "$1" ] || [ "$group" != "$gid" ] || sharing=$name
done </etc/passwd
new=$3
if [ "$gid" != "$3" ] && [ -r /etc/group ]; then
  while IFS=: read -r name password number rest || [ -n "$name" ]; do
    [ "$number" != "$3" ] || { echo "another group has the gid: $name"; new=$gid; }
  done </etc/group
fi
if [ "$gid" != "$new" ] && [ -n "$sharing" ]; then
  echo "the group is another user's, too: $sharing"
  new=$gid
fi
[ "$uid:$gid" != "$2:$new" ] || unchanged "nothing is left to change"
passwd=
while IFS= read -r line || [ -n "$line" ]; do
  case $line in
    "$1":*:"$uid":"$gid":*)
      front=${line%%:*} rest=${line#*:}
      line=$front:${rest%%:*}:$2:$new:${rest#*:*:*:} ;;
  esac
  passwd=$passwd$line'
'
done </etc/passwd
printf %s "$passwd" >/etc/passwd
if [ "$gid" != "$new" ] && [ -r /etc/group ]; then
  groups=
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in
      *:*:"$gid":*)
        front=${line%%:*} rest=${line#*:}
        case ${rest#*:} in "$gid":*) line=$front:${rest%%:*}:$new:${rest#*:*:} ;; esac ;;
    esac
    groups=$groups$line'
'
  done </etc/group
  printf %s "$groups" >/etc/group
fi
while [ "$home" != "${home%/}" ]; do home=${home%/}; done
case $home in
  '' | /bin | /boot | /dev | /etc | /home | /lib | /lib64 | /media | /mnt | /nonexistent | /opt | /proc | /root | /run | /sbin \
    | /srv | /sys | /tmp | /usr | /usr/bin \
    | /usr/lib | /usr/local | /usr/sbin | /usr/share | /var | /var/cache | /var/lib | /var/log | /var/run | /var/spool | /var/tmp | *..*)
    echo "the home stays as it is: $home" ;;
  /*) [ ! -d "$home" ] || [ -L "$home" ] || chown -R -h "$2:$new" "$home" ;;
esac
echo "[aienv uid] changed: $uid:$gid to $2:$new"
"""


def with_remote_uid(built_image: str, user: str, uid: int, gid: int, docker: Docker, how: How) -> str:
    """The name of an image; ``built_image`` where nothing is to do: for root, for a number, for a user that is not there, where another
    one has the uid. If another group has the gid, or another user the group, only the uid changes.

    Raises:
        EnvironmentFailed: the build failed.
    """
    name = user.partition(":")[0]
    if name in ("", "root") or name.isdecimal() or uid == 0:
        return built_image
    details = docker.inspect("image", built_image)[0]
    identity = str(details.get("Id"))
    made = naming.of_content("uid", identity, SCRIPT, name, str(uid), str(gid), how.platform or "")
    before = None if how.no_cache else if_here(made, docker)
    if before is not None and before.get("Id") == identity:
        return built_image
    if before is not None and made_before(made, docker, how) is not None:
        return made
    return made if _build(made, (name, f"{uid}", f"{gid}"), built_image, details, docker, how) else built_image


def _build(made: str, words: tuple[str, str, str], base: str, details: Object, docker: Docker, how: How) -> bool:
    """Whether there was something to do."""
    identity = str(details.get("Id"))
    hold(base, identity, docker)
    config = details.get("Config")
    own = config.get("User") if isinstance(config, dict) else ""
    lines = (
        f"FROM {naming.to_stand_on(base, identity)}",
        "USER 0",
        exec_form("RUN", ("/bin/sh", "-c", SCRIPT, "sh", *words)),
        user_instruction(own if isinstance(own, str) else ""),
        "",
    )
    environ = building.builder(None, how.buildkit, docker)
    options = (*how.options(), "--label", f"{naming.LABEL}=1", "-t", made, "--", "-")
    archive, _ = context.pack("\n".join(lines), (), how.scratch)
    with archive:
        said = building.build(docker, options, environ, how.log, how.deadline_s, archive)
    if said.code != 0:
        shown = "\n".join(failure_lines(said.lines))
        told = f"the uid of {words[0]!r} cannot be changed in the image:\n{shown}"
        raise building.BuildFailed(told, remedy='"updateRemoteUserUID": false leaves it as it is')
    if any(plain(line).startswith(UNCHANGED) for line in said.lines):
        docker.ask(docker.command, "rmi", "--", made)
        docker.ask(docker.command, "tag", "--", identity, made)
        return False
    building.remember(how.cache, made, str(docker.inspect("image", made)[0].get("Id")))
    return True
