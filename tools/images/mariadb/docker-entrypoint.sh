#!/bin/bash
# Subset of the public image's contract: {MARIADB,MYSQL}_{ROOT_PASSWORD,DATABASE,USER,PASSWORD},
# MARIADB_ALLOW_EMPTY_ROOT_PASSWORD / MYSQL_ALLOW_EMPTY_PASSWORD; args starting with '-' go to mariadbd.
set -euo pipefail
case "${1:-mariadbd}" in mariadbd|mysqld) [ $# -gt 0 ] && shift;; -*) ;; *) exec "$@";; esac
D=/var/lib/mysql
init=()
if [ ! -d "$D/mysql" ]; then
  PW=${MARIADB_ROOT_PASSWORD:-${MYSQL_ROOT_PASSWORD:-}}
  if [ -z "$PW" ] && [ -z "${MARIADB_ALLOW_EMPTY_ROOT_PASSWORD:-${MYSQL_ALLOW_EMPTY_PASSWORD:-}}" ]; then
    echo "Error: MARIADB_ROOT_PASSWORD or MARIADB_ALLOW_EMPTY_ROOT_PASSWORD is required" >&2; exit 1; fi
  chown mysql:mysql "$D"
  cp -a --sparse=always /usr/share/mysql-seed/. "$D"
  q() { printf '%s' "$1" | sed "s/\\\\/\\\\\\\\/g; s/'/\\\\'/g"; }
  DB=${MARIADB_DATABASE:-${MYSQL_DATABASE:-}} U=${MARIADB_USER:-${MYSQL_USER:-}} UP=${MARIADB_PASSWORD:-${MYSQL_PASSWORD:-}}
  I=/var/lib/mysql-init.sql; : >"$I"; chmod 600 "$I"; chown mysql "$I"
  # The seed's accounts for single hosts would be taken before root@'%'.
  { echo "DELETE FROM mysql.global_priv WHERE User<>'mariadb.sys' AND NOT (User='root' AND Host='localhost');"
    echo "FLUSH PRIVILEGES;"
    echo "ALTER USER 'root'@'localhost' IDENTIFIED BY '$(q "$PW")';"
    echo "CREATE USER IF NOT EXISTS 'root'@'%' IDENTIFIED BY '$(q "$PW")';"
    echo "GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;"
    [ -z "$DB" ] || echo "CREATE DATABASE IF NOT EXISTS \`$DB\`;"
    if [ -n "$U" ]; then
      echo "CREATE USER IF NOT EXISTS '$(q "$U")'@'%' IDENTIFIED BY '$(q "$UP")';"
      [ -z "$DB" ] || echo "GRANT ALL ON \`$DB\`.* TO '$(q "$U")'@'%';"
    fi
  } >"$I"
  init=(--init-file="$I")
fi
exec mariadbd --user=mysql "${init[@]}" "$@"
