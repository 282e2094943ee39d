#!/bin/bash
# Puts a PgBouncer that survives its clients' cancel requests where PATH can
# find it, and prints the folder to add to PATH.
#
#   PATH=$(integration/pgbouncer/install.sh):$PATH
#
# Debian 12 has PgBouncer 1.18, which ends with a fatal error when a cancel
# request crosses the end of its statement; 1.20.1 mended that
# (https://github.com/pgbouncer/pgbouncer/pull/927). This takes Debian 13's
# package and runs it with the libraries that belong to it. It needs root and
# mmdebstrap, takes about 25 seconds, and does nothing the second time.
set -euo pipefail

readonly suite=trixie
readonly root=/usr/local/lib/lockstep-pgbouncer
readonly libraries=$root/$suite/usr/lib/$(uname -m)-linux-gnu

# The wrapper is made last: where it runs, everything is there.
if ! "$root/bin/pgbouncer" --version >/dev/null 2>&1; then
	rm -rf "$root"
	mkdir -p "$root/bin"
	mmdebstrap --quiet --variant=extract --include=pgbouncer "$suite" "$root/$suite" >&2
	loader=$(echo "$libraries"/ld-linux-*)
	cat >"$root/bin/pgbouncer" <<-END
		#!/bin/sh
		exec $loader --library-path $libraries $root/$suite/usr/sbin/pgbouncer "\$@"
	END
	chmod 755 "$root" "$root/$suite" "$root/bin" "$root/bin/pgbouncer"
fi
echo "$root/bin"
