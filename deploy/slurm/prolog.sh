#!/bin/bash
# Slurm prolog: a node that does not pass `node-preflight` is drained before a job starts on it.
# In slurm.conf: Prolog=/etc/slurm/prolog.d/sickbay.sh (runs as root). A prolog that ends with another code than 0
# makes Slurm drain the node and queue the job again; so only a failing node ends with one.
#
# Codes of sickbay: 0 healthy, 1 degraded, 2 failing, 3 inconclusive, 64 and above: sickbay itself could not work.
set -u
SICKBAY=${SICKBAY:-sickbay}
CONFIG=${SICKBAY_CONFIG:-/etc/sickbay/sickbay.yaml}
DEADLINE=${SICKBAY_DEADLINE_S:-60}
# What an answer that could not be had means: "drain" or "allow". A checker that breaks must not drain a cluster.
INCONCLUSIVE=${SICKBAY_INCONCLUSIVE:-allow}
REPORTS=${SICKBAY_REPORTS:-/var/log/sickbay}

mkdir -p "$REPORTS"
line=$(timeout --kill-after=5 "$((DEADLINE + 10))" "$SICKBAY" run node-preflight \
  --config "$CONFIG" --target node --deadline "$DEADLINE" --no-progress --no-journal \
  --format nagios --output "json=$REPORTS/node-preflight.json" 2>>"$REPORTS/prolog.log")
code=$?

drain() {
  echo "sickbay: $line"
  if command -v scontrol >/dev/null && [ -n "${SLURMD_NODENAME:-}" ]; then
    scontrol update "nodename=$SLURMD_NODENAME" state=drain "reason=sickbay: ${line:0:200}"
  fi
  exit 1
}

case $code in
  0 | 1) exit 0 ;;
  2) drain ;;
  *)
    line=${line:-"node-preflight ended with code $code; see $REPORTS/prolog.log"}
    [ "$INCONCLUSIVE" = drain ] && drain
    echo "sickbay: $line"
    exit 0
    ;;
esac
