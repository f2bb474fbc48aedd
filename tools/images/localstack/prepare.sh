#!/bin/bash
# Where this machine's pip takes packages from, for the build; the certificates are those of the base image.
set -euo pipefail
{
  printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n'
  python3 -m pip config list 2>/dev/null |
    sed -n "s/^\(global\|:env:\)\.\(index-url\|extra-index-url\|trusted-host\|proxy\)='\(.*\)'\$/\2 = \3/p" || true
} >pip.conf
