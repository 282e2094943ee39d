#!/bin/bash
# Builds the Docker image lockstep-postgres:15 from Debian's packages.
#
#   integration/docker/build-postgres-image.sh
#
# It is for machines that reach Debian's packages but no image registry. It
# needs mmdebstrap and a Docker engine, and does nothing when the image is
# there already and was made by the same recipe. Takes about 45 seconds.
set -euo pipefail

cd "$(dirname "$0")"

readonly suite=bookworm
readonly major=15
readonly image=lockstep-postgres:$major
readonly label=com.github.lockstep-go.recipe

# The recipe is these files as they stand: another build of the same recipe
# differs from an existing image only in Debian's own updates.
recipe() {
	cat build-postgres-image.sh postgres-entrypoint.sh | sha256sum | cut -d ' ' -f 1
}

existing_recipe() {
	docker image inspect --format "{{index .Config.Labels \"$label\"}}" "$image" 2>/dev/null || true
}

# Left out is what a test server never reads. Without LLVM, by far the largest
# part, PostgreSQL runs without just-in-time compilation.
readonly -a leave_out=(
	'/usr/share/doc/*' '/usr/share/man/*' '/usr/share/info/*'
	'/usr/share/locale/*' '/usr/share/i18n/*'
	'/usr/lib/*/libLLVM*' '/usr/lib/*/libz3*'
	'/usr/lib/postgresql/*/lib/llvmjit*' '/usr/lib/postgresql/*/lib/bitcode/*'
)

make_rootfs() {
	local pattern
	local -a options=(--dpkgopt=force-unsafe-io)
	for pattern in "${leave_out[@]}"; do
		options+=("--dpkgopt=path-exclude=$pattern")
	done
	# The package would otherwise create a cluster that no container uses.
	# shellcheck disable=SC2016 # mmdebstrap's own shell expands $1
	mmdebstrap --quiet --variant=apt --include="postgresql-$major" "${options[@]}" \
		--setup-hook='mkdir -p "$1/etc/postgresql-common"' \
		--setup-hook='echo "create_main_cluster = false" >"$1/etc/postgresql-common/createcluster.conf"' \
		--customize-hook='copy-in postgres-entrypoint.sh /usr/local/bin' \
		"$suite" "$1"
}

# What a Dockerfile would say.
readonly -a image_changes=(
	"ENV PATH=/usr/lib/postgresql/$major/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	'ENV PGDATA=/var/lib/postgresql/data'
	'ENV LANG=C.UTF-8'
	'VOLUME /var/lib/postgresql/data'
	'EXPOSE 5432'
	'ENTRYPOINT ["postgres-entrypoint.sh"]'
	'CMD ["postgres"]'
)

# Imported rather than built from a Dockerfile: unpacking the root file system
# in a build step takes twenty seconds more.
import_image() {
	local change
	local -a options=(--change "LABEL $label=$(recipe)")
	for change in "${image_changes[@]}"; do
		options+=(--change "$change")
	done
	docker import "${options[@]}" "$1" "$image"
}

build() {
	scratch=$(mktemp -d)
	trap 'rm -rf "$scratch"' EXIT
	make_rootfs "$scratch/rootfs.tar"
	import_image "$scratch/rootfs.tar" >/dev/null
}

if [ "$(existing_recipe)" = "$(recipe)" ]; then
	echo "$image is there already"
	exit 0
fi
build
echo "built $image in $SECONDS s"
