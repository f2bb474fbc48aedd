#!/bin/bash
# Subset of the public image's contract: POSTGRES_PASSWORD; args starting with '-' go to postgres.
set -euo pipefail
[ "${1:-postgres}" = postgres ] && [ $# -gt 0 ] && shift || case "${1:-}" in -*|'') ;; *) exec "$@";; esac
if [ "$(id -u)" = 0 ]; then
  chown postgres:postgres "$PGDATA"; chmod 700 "$PGDATA"
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" postgres "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  if [ -z "${POSTGRES_PASSWORD:-}" ]; then echo "Error: POSTGRES_PASSWORD is required" >&2; exit 1; fi
  initdb -U postgres --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") --no-sync -E UTF8 --locale=C.UTF-8
  printf '\nhost all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
  printf "\nlisten_addresses = '*'\n" >>"$PGDATA/postgresql.conf"
fi
exec postgres "$@"
