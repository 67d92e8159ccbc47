#!/usr/bin/env bash
# Only for CI: install a Docker engine on a bare Debian machine (root, apt, no image registry), and a local stand-in for
# the base image in the Dockerfiles, so that they build without a pull. Your own machine pulls the real one.
#   BASE_IMAGE    tag of the stand-in         (python:3.11-slim-bookworm)
#   SUITE         Debian release inside it    (bookworm, whose python3 is 3.11)
# shellcheck disable=SC2016  # $1 and $(...) below belong to mmdebstrap and apt
set -euo pipefail
BASE_IMAGE=${BASE_IMAGE:-python:3.11-slim-bookworm}
SUITE=${SUITE:-bookworm}
PKGS=python3,python3-pip,ca-certificates
LOG=${DOCKERD_LOG:-/var/log/dockerd-ci.log}
export DEBIAN_FRONTEND=noninteractive
say() { printf '[%3ds] %s\n' "$SECONDS" "$*"; }

# 1. packages: docker.io 20.10 has the engine and a CLI with BuildKit built in (no buildx needed)
if ! command -v dockerd >/dev/null || ! command -v mmdebstrap >/dev/null || [ ! -x /usr/bin/docker ]; then
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends docker.io iptables mmdebstrap >/dev/null
  say "installed docker.io and mmdebstrap"
fi
DOCKER=/usr/bin/docker    # Debian's own CLI: a newer one on PATH may lack the buildx plugin

# 2. the engine, unless one already answers; it outlives this script
if ! $DOCKER info >/dev/null 2>&1; then
  setsid nohup dockerd >"$LOG" 2>&1 </dev/null &
  for _ in $(seq 120); do
    $DOCKER info >/dev/null 2>&1 && break
    kill -0 $! 2>/dev/null || { tail -20 "$LOG" >&2; echo "dockerd ended" >&2; exit 1; }
    sleep 0.5
  done
  $DOCKER info >/dev/null || { tail -20 "$LOG" >&2; exit 1; }
  say "dockerd is up (pid $!, log $LOG)"
fi

# 3. the stand-in base image, unless the tag exists
if $DOCKER image inspect "$BASE_IMAGE" >/dev/null 2>&1; then say "$BASE_IMAGE exists"; exit 0; fi
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
# the Debian mirrors of this machine, in any file format; other sources (Origin not Debian) are left out
mirrors() {
  apt-get indextargets --format '$(ORIGIN) $(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    awk -v s="$SUITE" '$1 == "Debian" && index($3, s) == 1 {print "deb", $2, $3, $4}' | sort -u >"$work/sources.list"
  [ -s "$work/sources.list" ]
}
mirrors || { apt-get update -qq; mirrors; } || { echo "no Debian $SUITE mirror in this machine's apt" >&2; exit 1; }
# this machine's own certificate authorities (most machines have none), so that pip inside trusts the registry
mkdir -p "$work/ca"; cp /usr/local/share/ca-certificates/*.crt "$work/ca/" 2>/dev/null || :
touch "$work/pip.conf"
if [ -r /etc/pip.conf ]; then cp /etc/pip.conf "$work/pip.conf"; fi
mmdebstrap --quiet --variant=minbase --include="$PKGS" \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --aptopt='Acquire::Languages "none"' \
  --customize-hook='rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED' \
  --customize-hook='ln -sf /usr/bin/python3 "$1/usr/local/bin/python"' \
  --customize-hook="cp $work/ca/* \"\$1/usr/local/share/ca-certificates/\" 2>/dev/null || :" \
  --customize-hook="cp $work/pip.conf \"\$1/etc/pip.conf\"" \
  --customize-hook='chroot "$1" update-ca-certificates >/dev/null 2>&1' \
  "$SUITE" "$work/root.tar" "$work/sources.list"
say "root file system created ($(du -m "$work/root.tar" | cut -f1) MB)"
CA=/etc/ssl/certs/ca-certificates.crt
$DOCKER import -c 'CMD ["python3"]' -c 'LABEL ci.stand-in=debian' -c "ENV LANG=C.UTF-8" \
  -c "ENV PIP_CERT=$CA" -c "ENV SSL_CERT_FILE=$CA" -c "ENV REQUESTS_CA_BUNDLE=$CA" -c "ENV PIP_ROOT_USER_ACTION=ignore" \
  "$work/root.tar" "$BASE_IMAGE" >/dev/null
say "$BASE_IMAGE exists: $($DOCKER run --rm --network none "$BASE_IMAGE" python -V)"
