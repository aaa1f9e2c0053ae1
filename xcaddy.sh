#!/bin/sh
# Builds Caddy with this checkout of caddy-drm the way an operator's own build does, versions pinned, and says what came out.
#
#   ./xcaddy.sh [output]      default output: caddy, beside this script
#
# The same build from the published module:
#
#   xcaddy build v2.11.9 --with github.com/caddy-drm/caddy-drm
set -eu

XCADDY=v0.4.6 # as required by tools/go.mod
CADDY=v2.11.9 # as required by go.mod
MODULE=github.com/caddy-drm/caddy-drm

root=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
output=${1-$root/caddy}
case $output in
/*) ;;
*) output=$PWD/$output ;;
esac

# A pin that says one thing here and another in a go.mod would build what nobody tested.
grep -q "caddyserver/xcaddy $XCADDY " "$root/tools/go.mod" || {
	echo "xcaddy.sh: tools/go.mod does not require xcaddy $XCADDY" >&2
	exit 1
}
grep -q "caddyserver/caddy/v2 $CADDY\$" "$root/go.mod" || {
	echo "xcaddy.sh: go.mod does not require Caddy $CADDY" >&2
	exit 1
}

work=$(mktemp -d "${TMPDIR:-/tmp}/caddy-drm-xcaddy.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# xcaddy is built from its pinned module, not found on PATH. It splits its arguments at spaces and equals signs, and the
# go command does not like them in a replaced path either, so it sees the checkout through a link without any.
(cd "$root/tools" && go build -o "$work/xcaddy" github.com/caddyserver/xcaddy/cmd/xcaddy)
ln -s "$root" "$work/checkout"

# A version stands behind the module's name because without one the go command asks a proxy for it before it looks at
# the replacement.
(cd "$work" && ./xcaddy build "$CADDY" --with "$MODULE@v0.0.0=$work/checkout" --output "$work/caddy")
mv -f "$work/caddy" "$output"

"$output" version
modules=$("$output" list-modules | grep -E '(^|\.)drm(_|\.|$)') || {
	echo "xcaddy.sh: the binary holds no module of caddy-drm" >&2
	exit 1
}
printf '%s\n' "$modules"
