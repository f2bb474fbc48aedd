#!/bin/bash
# Builds the stand-in image of one server: build.sh NAME TAG, where NAME is a directory next to this script.
# Needs bash, a Docker engine, and what NAME/prepare.sh needs; root and debootstrap too while there is no base image.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
name=$1 tag=$2

docker image inspect local/debian-base:trixie >/dev/null 2>&1 || "$here/base.sh"

# Nothing is ever built inside the repository.
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp "$here/$name"/* "$context"
if [ -f "$context/prepare.sh" ]; then (cd "$context" && bash prepare.sh "$tag"); fi
# The classic builder: a dockerd as old as 20.10 has no BuildKit in its Debian package.
DOCKER_BUILDKIT=0 docker build -q --label local.standin=1 -t "$tag" "$context" >/dev/null
