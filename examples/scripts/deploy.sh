#!/usr/bin/env bash
# Deploys a release: copies it beside the earlier ones, lets it prepare itself,
# and points "current" at it.
#
#   deploy.sh RELEASE TARGET
#
# Two copies never overlap: one works, and the others wait for up to ten minutes.
# By default that holds for this user on this host. LOCKSTEP_DB names a database
# where more is needed: a SQLite file for several users, a PostgreSQL or SQL
# Server for several hosts. Needs the program applock.
#
# Exit codes: 64 wrong usage; 75 others took too long; that of a release's own
# prepare where that fails; else as applock's.
set -euo pipefail

if [ $# -ne 2 ] || [ ! -d "$1" ]; then
	echo "usage: deploy.sh RELEASE TARGET, both folders" >&2
	exit 64
fi

# The script runs itself a second time, under the lock. There is nothing to
# unlock: the lock ends with the process, however that ends.
if [ -z "${DEPLOY_HAS_LOCK-}" ]; then
	export DEPLOY_HAS_LOCK=yes
	exec applock run --wait 10m --label "deploy.sh[$$]" deploy -- bash "$0" "$@"
fi
# Not for what this script starts: a deployment in there must ask for the lock.
unset DEPLOY_HAS_LOCK

release=$1
target=$2
mkdir -p "$target/releases"

# Two at once would take the same number.
last=$(readlink "$target/current" || echo releases/0)
number=$((${last##*/} + 1))
new=$target/releases/$number

# What a failed deployment left here. Nobody else can be at it.
rm -rf "$new"
cp -R "$release" "$new"
if [ -x "$new/prepare" ]; then
	(cd "$new" && ./prepare)
fi
ln -sfn "releases/$number" "$target/current"
echo "release $number is current"
