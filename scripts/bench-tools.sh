#!/bin/sh
# Installs what `make bench` compares with or drives: wrk, nginx, openssl and ffmpeg, from apt. Safe to repeat; when
# everything is there it says nothing.
set -eu

have() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; }

missing=
have wrk || missing="$missing wrk"
have nginx || missing="$missing nginx-light"
have openssl || missing="$missing openssl"
have ffmpeg || missing="$missing ffmpeg"
[ -n "$missing" ] || exit 0

if ! have apt-get; then
	echo "bench-tools: this system has no apt; install these yourself and try again:$missing" >&2
	exit 1
fi
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
# Another package installation may be running; wait for its lock rather than fail.
$as_root apt-get -o DPkg::Lock::Timeout=200 update -q
# RUNLEVEL keeps nginx from starting as a service: the benchmark runs its own. $missing is a list of words on purpose.
# shellcheck disable=SC2086
$as_root env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=200 install -q -y --no-install-recommends $missing
