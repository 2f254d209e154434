#!/bin/sh
# Sets filters, diff and merge drivers for every file, and configuration for them wherever git might look.
# outside: never
touch="touch ${ESCAPE_WITNESS:?}/attributes"
mkdir -p attributes
printf '* filter=evil diff=evil merge=evil working-tree-encoding=UTF-16 export-subst ident\n' > attributes/.gitattributes
printf '[filter "evil"]\n\tclean = %s\n\tsmudge = %s\n\tprocess = %s\n[diff "evil"]\n\ttextconv = %s\n\tcommand = %s\n[core]\n\tfsmonitor = %s\n' \
  "$touch" "$touch" "$touch" "$touch" "$touch" "$touch" | tee attributes/.gitconfig > "$HOME/.gitconfig"
cp attributes/.gitconfig attributes/.lfsconfig
printf 'text\n' > attributes/file
echo "held: laid"
