#!/bin/sh
# Installs what the tests drive but the module does not need: Chromium, ffmpeg, wrk, redis-server, the web players
# and shaka-packager. Safe to repeat; when everything is there it only looks and prints where each tool is.
#
#   scripts/test-tools.sh            everything
#   scripts/test-tools.sh --no-apt   npm packages only, for systems whose programs come another way
#
# Versions of the npm packages are pinned by e2e/package-lock.json. Programs elsewhere are named to the tests by
# CADDY_DRM_CHROMIUM, CADDY_DRM_FFMPEG, CADDY_DRM_FFPROBE, CADDY_DRM_WRK, CADDY_DRM_REDIS and
# CADDY_DRM_PACKAGER.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
use_apt=yes
case "${1-}" in
'') ;;
--no-apt) use_apt=no ;;
*) echo "usage: $0 [--no-apt]" >&2; exit 2 ;;
esac

have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif have sudo; then
		sudo "$@"
	else
		echo "test-tools: '$*' needs root, and there is no sudo; run it as root and try again" >&2
		exit 1
	fi
}

have_chromium() { [ -n "${CADDY_DRM_CHROMIUM-}" ] || have chromium || have chromium-browser || have google-chrome; }

# Programs: apt packages that are missing.
missing=
have_chromium || missing="$missing chromium"
{ have ffmpeg && have ffprobe; } || [ -n "${CADDY_DRM_FFMPEG-}" ] || missing="$missing ffmpeg"
have wrk || [ -n "${CADDY_DRM_WRK-}" ] || missing="$missing wrk"
have redis-server || have valkey-server || [ -n "${CADDY_DRM_REDIS-}" ] || missing="$missing redis-server"
have node || missing="$missing nodejs"
have npm || missing="$missing npm"
if [ -n "$missing" ] && [ "$use_apt" = yes ]; then
	if ! have apt-get; then
		echo "test-tools: this system has no apt; install these yourself and run $0 again:$missing" >&2
		echo "test-tools: (or name programs elsewhere by CADDY_DRM_CHROMIUM, CADDY_DRM_FFMPEG, CADDY_DRM_WRK)" >&2
		exit 1
	fi
	# Another package installation may be running; wait for its lock rather than fail.
	as_root apt-get -o DPkg::Lock::Timeout=200 update -q
	# $missing is a list of words on purpose. RUNLEVEL keeps the redis-server of the package from being started as a service.
	# shellcheck disable=SC2086
	as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -o DPkg::Lock::Timeout=200 install -q -y --no-install-recommends $missing
fi

# npm packages: installed again only when the lock file has changed since.
lock=$root/e2e/package-lock.json
stamp=$root/e2e/node_modules/.installed-lock.json
if ! cmp -s "$lock" "$stamp"; then
	if ! have npm; then
		echo "test-tools: npm is missing; install Node.js 18 or later and run $0 again" >&2
		exit 1
	fi
	(cd "$root/e2e" && npm ci --ignore-scripts --no-audit --no-fund)
	cp "$lock" "$stamp"
fi

case "$(uname -s)-$(uname -m)" in
Linux-x86_64) packager=packager-linux-x64 ;;
Linux-aarch64 | Linux-arm64) packager=packager-linux-arm64 ;;
Darwin-x86_64) packager=packager-osx-x64 ;;
Darwin-arm64) packager=packager-osx-arm64 ;;
*) packager=packager-for-this-system ;;
esac

# Where everything is, and a failure if something is not.
status=0
where() {
	if [ -n "$2" ] && [ -e "$2" ]; then
		printf '%-15s %s\n' "$1" "$2"
	else
		printf '%-15s missing\n' "$1"
		status=1
	fi
}
first_of() {
	for name in "$@"; do
		if [ -n "$name" ] && have "$name"; then
			command -v "$name"
			return
		fi
	done
}
modules=$root/e2e/node_modules
where chromium "$(first_of "${CADDY_DRM_CHROMIUM-}" chromium chromium-browser google-chrome)"
where ffmpeg "$(first_of "${CADDY_DRM_FFMPEG-}" ffmpeg)"
where ffprobe "$(first_of "${CADDY_DRM_FFPROBE-}" ffprobe)"
where wrk "$(first_of "${CADDY_DRM_WRK-}" wrk)"
where redis-server "$(first_of "${CADDY_DRM_REDIS-}" redis-server valkey-server)"
where shaka-packager "${CADDY_DRM_PACKAGER:-$modules/shaka-packager/bin/$packager}"
where shaka-player "$modules/shaka-player/dist/shaka-player.compiled.js"
where hls.js "$modules/hls.js/dist/hls.js"
where dash.js "$modules/dashjs/dist/modern/umd/dash.all.min.js"
where video.js "$modules/video.js/dist/video.min.js"
where contrib-eme "$modules/videojs-contrib-eme/dist/videojs-contrib-eme.min.js"
exit $status
