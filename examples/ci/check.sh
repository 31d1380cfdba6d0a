#!/bin/sh
# Any other runner: exit 0 pass, 1 regression, 2 wrong input, 3 not comparable (renew the baseline).
# usage: check.sh MODEL DATA BASELINE [options of circuitprobe check]
set -eu
model=$1 data=$2 baseline=$3
shift 3
mkdir -p circuitprobe-report
exec circuitprobe check "$model" "$data" --baseline "$baseline" --junit circuitprobe-report/check.xml \
  --markdown circuitprobe-report/check.md --json circuitprobe-report/check.json --audit-json circuitprobe-report/audit.json "$@"
