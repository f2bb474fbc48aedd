#!/bin/bash
# Builds the server that Debian does not have, static, here in the build context. Needs go; where from is Go's own
# configuration.
set -euo pipefail
case ${1##*:} in
  2.15) version=v2.15.2;;
  *) echo "no version is chosen for $1" >&2; exit 1;;
esac
export CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOBIN=$PWD
go install -trimpath -ldflags '-s -w' "github.com/nats-io/nats-server/v2@$version"
