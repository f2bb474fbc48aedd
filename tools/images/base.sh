#!/bin/bash
# Makes local/debian-base:trixie, what every stand-in starts from, out of nothing but Debian packages.
# Needs root, debootstrap and a Docker engine. Mirror, credentials and certificates are the host's own. The image holds
# copies of them: never push it, nor an image built on it.
set -euo pipefail
suite=trixie
work=$(mktemp -d -p /var/tmp) # /tmp may be mounted without devices, and then debootstrap fails
trap 'rm -rf "$work"' EXIT
root=$work/root
host() { (. /etc/os-release && echo "${!1:-}"); }

# Another distribution's mirror has no Debian on it: debootstrap then takes its own default.
mirror=
sources=/etc/apt/sources.list.d/debian.sources
if [ "$(host ID)" = debian ]; then
  mirror=$(awk '/^URIs:/ {print $2; exit}' "$sources" 2>/dev/null || true)
  [ -n "$mirror" ] || mirror=$(awk '$1=="deb" {for (i=2; i<=NF; i++) if ($i ~ /^https?:/) {print $i; exit}}' /etc/apt/sources.list 2>/dev/null || true)
fi
if ! debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" ${mirror:+"$mirror"} >"$work/log" 2>&1; then
  echo "debootstrap failed:" >&2
  tail -n 20 "$work/log" >&2
  exit 1
fi

apt=$root/etc/apt
codename=$(host VERSION_CODENAME)
if [ -n "$mirror" ] && [ -n "$codename" ] && [ -f "$sources" ]; then
  sed "s/\b$codename/$suite/g" "$sources" >"$apt/sources.list.d/debian.sources"
  : >"$apt/sources.list"
fi
# Proxies and the like, wherever the host keeps them.
grep -l '^ *Acquire' /etc/apt/apt.conf.d/* 2>/dev/null | xargs -r cp -t "$apt/apt.conf.d" || true
[ ! -d /etc/apt/auth.conf.d ] || cp -a /etc/apt/auth.conf.d/. "$apt/auth.conf.d/"
cp -L /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
chroot "$root" update-ca-certificates >>"$work/log" 2>&1

# Small and quick: no recommended packages, no documentation, no fsync, and no server starts while it is installed.
printf 'APT::Install-Recommends "false";\nDpkg::Use-Pty "0";\n' >"$apt/apt.conf.d/90local"
printf 'force-unsafe-io\n' >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
printf 'path-exclude=/usr/share/%s/*\n' doc man locale info >"$root/etc/dpkg/dpkg.cfg.d/nodoc"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}/*
mkdir -p "$root"/usr/share/man/man{1..8} # OpenJDK's installation fails without them

tar -C "$root" --numeric-owner -c . |
  docker import -c 'CMD ["/bin/bash"]' -c 'ENV LANG=C.UTF-8' - "local/debian-base:$suite" >/dev/null
