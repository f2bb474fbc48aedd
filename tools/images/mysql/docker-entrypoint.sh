#!/bin/bash
# Subset of the public image's contract: MYSQL_{ROOT_PASSWORD,DATABASE,USER,PASSWORD}, MYSQL_ALLOW_EMPTY_PASSWORD;
# args starting with '-' go to mysqld.
set -euo pipefail
case "${1:-mysqld}" in mysqld) [ $# -gt 0 ] && shift;; -*) ;; *) exec "$@";; esac
D=/var/lib/mysql
init=()
if [ ! -d "$D/mysql" ]; then
  PW=${MYSQL_ROOT_PASSWORD:-}
  if [ -z "$PW" ] && [ -z "${MYSQL_ALLOW_EMPTY_PASSWORD:-}" ]; then
    echo "Error: MYSQL_ROOT_PASSWORD or MYSQL_ALLOW_EMPTY_PASSWORD is required" >&2; exit 1; fi
  chown mysql:mysql "$D"
  cp -a --sparse=always /usr/share/mysql-seed/. "$D"
  q() { printf '%s' "$1" | sed "s/\\\\/\\\\\\\\/g; s/'/\\\\'/g"; }
  I=/var/lib/mysql-init.sql; : >"$I"; chmod 600 "$I"; chown mysql "$I"
  { echo "ALTER USER 'root'@'localhost' IDENTIFIED BY '$(q "$PW")';"
    echo "CREATE USER 'root'@'%' IDENTIFIED BY '$(q "$PW")';"
    echo "GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;"
    [ -z "${MYSQL_DATABASE:-}" ] || echo "CREATE DATABASE IF NOT EXISTS \`$MYSQL_DATABASE\`;"
    if [ -n "${MYSQL_USER:-}" ]; then
      echo "CREATE USER '$(q "$MYSQL_USER")'@'%' IDENTIFIED BY '$(q "${MYSQL_PASSWORD:-}")';"
      [ -z "${MYSQL_DATABASE:-}" ] || echo "GRANT ALL ON \`$MYSQL_DATABASE\`.* TO '$(q "$MYSQL_USER")'@'%';"
    fi
  } >"$I"
  init=(--init-file="$I")
fi
exec mysqld --no-defaults --user=mysql --datadir="$D" \
  --socket=/run/mysqld/mysqld.sock --bind-address='*' --skip-name-resolve "${init[@]}" "$@"
