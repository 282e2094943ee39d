#!/bin/sh
# Starts PostgreSQL in the image that build-postgres-image.sh makes.
#
# It reads the variables of the official postgres image that tests need:
# POSTGRES_PASSWORD (required unless POSTGRES_HOST_AUTH_METHOD is trust),
# POSTGRES_USER, POSTGRES_DB, POSTGRES_INITDB_ARGS and
# POSTGRES_HOST_AUTH_METHOD. Its scripts in /docker-entrypoint-initdb.d and
# its *_FILE variables are not supported.
set -eu

say() {
	echo "postgres-entrypoint: $*" >&2
}

initialise() {
	user=${POSTGRES_USER:-postgres}
	database=${POSTGRES_DB:-$user}
	method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
	if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "$method" != trust ]; then
		say "POSTGRES_PASSWORD is not set"
		exit 1
	fi

	password_file=$(mktemp)
	printf '%s\n' "${POSTGRES_PASSWORD:-unused}" >"$password_file"
	# The arguments are a list of words, so they must be split here.
	# shellcheck disable=SC2086
	initdb --pgdata="$PGDATA" --username="$user" --pwfile="$password_file" \
		--encoding=UTF8 --auth-local=trust --auth-host="$method" --no-sync \
		${POSTGRES_INITDB_ARGS:-}
	rm -f "$password_file"

	echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
	echo "host all all all $method" >>"$PGDATA/pg_hba.conf"
	if [ "$database" != postgres ]; then
		quoted=$(printf '%s' "$database" | sed 's/"/""/g')
		# Single-user mode needs no server that clients could reach too early.
		echo "CREATE DATABASE \"$quoted\"" |
			postgres --single -D "$PGDATA" postgres >/dev/null
	fi
}

case "${1:-postgres}" in
-*) set -- postgres "$@" ;;
esac
if [ "$1" != postgres ]; then
	exec "$@"
fi

if [ "$(id -u)" = 0 ]; then
	install -d -o postgres -g postgres -m 0700 "$PGDATA"
	install -d -o postgres -g postgres -m 2775 /var/run/postgresql
	exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$0" "$@"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
	initialise
fi
exec "$@"
