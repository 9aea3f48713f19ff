#!/bin/sh
# Makes the table of guarantees from what the test programs wrote (WEIR_GUARANTEES_OUT): a line "S-17 <number of passing
# tests>" for every number of docs/SEMANTICS.md, printed and written to OUT.
#   guarantees.sh OUT FILE...
set -eu
if [ $# -lt 1 ]; then
  echo "usage: $0 OUT FILE..." >&2
  exit 2
fi
out=$1
shift
mkdir -p "$(dirname "$out")"
# A test that ran twice counts once; without any file there is nothing to read, and every count is 0.
{ [ $# -eq 0 ] || cat -- "$@"; } | sort -u | awk -F '\t' '
  { passed[$1]++ }
  END { for (s = 1; s <= 36; s++) printf "S-%d %d\n", s, passed["S-" s] }' > "$out"
cat -- "$out"
