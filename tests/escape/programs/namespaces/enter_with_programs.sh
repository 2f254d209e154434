#!/bin/sh
# Enters the first process's namespaces, changes roots and mounts, with the system's own programs.
# outside: escapes
found=
folder=${TMPDIR:-/tmp}/programs
mkdir -p "$folder"
for command in \
  "nsenter --target 1 --mount true" \
  "nsenter --target 1 --net true" \
  "nsenter --target 1 --user --preserve-credentials true" \
  "chroot / true" \
  "mount -t tmpfs none $folder" \
  "mount --bind / $folder" \
  "mount -o remount,rw /usr" \
  "umount -l /proc" \
  "losetup -f" \
  "setpriv --reuid 0 true" \
  "capsh --addamb=cap_sys_admin -- -c true"
do
  case "$command" in "umount -l /proc" | "mount -o remount,rw /usr") [ "$(id -u)" != 0 ] || continue ;; esac
  if timeout 10 $command >/dev/null 2>&1; then found="$found [$command]"; fi
done
if [ -n "$found" ]; then echo "ESCAPED:$found"; else echo "held: none of them did"; fi
