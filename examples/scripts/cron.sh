#!/usr/bin/env bash
# Runs a job, unless its last run is still at it. For crontab:
#
#   */5 * * * *  cron.sh report /usr/local/bin/report --all
#
# Which hosts and users count is said by LOCKSTEP_DB, as for deploy.sh. Needs the
# program applock.
#
# Exit codes: 0 if the last run is still at it; else the job's, or applock's. 75
# is applock's for a lock that is not free: a job's own 75 becomes 1.
set -euo pipefail

if [ $# -lt 2 ]; then
	echo "usage: cron.sh NAME COMMAND [ARGUMENT…]" >&2
	exit 64
fi
name=$1
shift

# Not "|| true": that would hide that the job has failed.
code=0
applock run --no-wait "cron:$name" -- \
	sh -c '"$@"; code=$?; [ "$code" -ne 75 ] || code=1; exit "$code"' cron "$@" || code=$?
if [ "$code" -eq 75 ]; then
	exit 0 # applock has said who is at it
fi
exit "$code"
