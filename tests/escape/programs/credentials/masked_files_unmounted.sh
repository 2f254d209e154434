#!/bin/sh
# Takes masks away by unmounting them, here and in a place made for it.
# outside: never
found=
for name in .env conf/key.pem .npmrc; do
  umount -l "$name" 2>/dev/null && found="$found [umount $name]"
  said=$(timeout 5 unshare --user --map-root-user --mount sh -c "umount -l '$PWD/$name'; cat '$PWD/$name'" 2>/dev/null)
  [ -z "$said" ] || found="$found [unshare $name]"
  said=$(timeout 5 bwrap --bind / / --bind "$PWD" /tmp cat "/tmp/$name" 2>/dev/null)
  [ -z "$said" ] || found="$found [bwrap $name]"
done
if [ -n "$found" ]; then echo "ESCAPED:$found"; else echo "held: the masks stayed"; fi
