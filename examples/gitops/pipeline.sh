#!/bin/sh
# A pipeline for a gateway whose configuration lies in a repository.
#
#   pipeline.sh check   on a pull request: what is wrong, what is doubtful, and what merging it would do
#   pipeline.sh apply   on the main branch: do it, and wait until the data planes serve it
#
# The control plane is named by HOLDFAST_ADMIN, who calls by HOLDFAST_TOKEN_FILE, the workspace by HOLDFAST_WORKSPACE: every
# flag is also a variable. HOLDFAST is the command, GATEWAY the folder of files, WAIT the patience with the data planes.
set -eu

holdfast=${HOLDFAST:-holdfast}
gateway=${GATEWAY:-gateway}
wait=${WAIT:-60s}

case ${1:-} in
check)
  "$holdfast" validate -f "$gateway"
  # Findings (3) are for the reader: they stop nothing.
  "$holdfast" lint -f "$gateway" || [ $? -eq 3 ]
  # So are differences (3).
  "$holdfast" diff -f "$gateway" --prune || [ $? -eq 3 ]
  ;;
apply)
  # The files have select tags: pruning touches what has these and nothing else. It was seen in the pull request.
  "$holdfast" apply -f "$gateway" --prune --yes --wait "$wait"
  ;;
*)
  echo "usage: $0 check|apply" >&2
  exit 2
  ;;
esac
