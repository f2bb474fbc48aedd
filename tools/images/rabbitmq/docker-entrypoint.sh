#!/bin/bash
# The part of the public image's contract that the tests use: RABBITMQ_DEFAULT_{USER,PASS,VHOST}; guest may come from
# anywhere.
set -euo pipefail
if [ "${1:-rabbitmq-server}" = rabbitmq-server ] && [ "$(id -u)" = 0 ]; then
  mkdir -p /etc/rabbitmq/conf.d
  { [ -z "${RABBITMQ_DEFAULT_USER:-}" ] || echo "default_user = $RABBITMQ_DEFAULT_USER"
    [ -z "${RABBITMQ_DEFAULT_PASS:-}" ] || echo "default_pass = $RABBITMQ_DEFAULT_PASS"
    [ -z "${RABBITMQ_DEFAULT_VHOST:-}" ] || echo "default_vhost = $RABBITMQ_DEFAULT_VHOST"; true
  } >/etc/rabbitmq/conf.d/10-defaults.conf
  chown rabbitmq:rabbitmq /etc/rabbitmq/conf.d/10-defaults.conf
  export HOME=/var/lib/rabbitmq
  # the server itself, not Debian's /usr/sbin wrapper (it needs runuser and writes to /var/log)
  exec setpriv --reuid=rabbitmq --regid=rabbitmq --init-groups /usr/lib/rabbitmq/bin/rabbitmq-server "${@:2}"
fi
exec "$@"
