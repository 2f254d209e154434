#!/bin/sh
# An engine made of files in $FAKE: image-NAME.json, container-ID.json, ids for ps by the labels that are asked for, compose.yaml.
answer() { if [ -e "$1" ]; then cat "$1"; else echo "Error: No such object: ${1##*/}" >&2; exit 1; fi; }
case "$*" in
"compose version"*) [ -e "$FAKE/compose.yaml" ] && echo 2.26.1 ;;
compose*config) answer "$FAKE/compose.yaml" ;;
ps*config_file*) cat "$FAKE/ps-new" 2>/dev/null ;;
ps*local_folder*) cat "$FAKE/ps-old" 2>/dev/null ;;
ps*) cat "$FAKE/ps-label" 2>/dev/null ;;
inspect*)
  kind=$3
  shift 3
  [ "$1" = -- ] && shift
  answer "$FAKE/$kind-$(printf %s "$1" | tr /: __).json" ;;
*) echo "not known: $*" >&2; exit 1 ;;
esac
exit 0
