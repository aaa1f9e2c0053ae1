#!/bin/sh
# Fetches the three players from npm and writes them beside this script as gzip, with their licenses and players.json.
# Change a version here, run the script, run the tests, commit the result.
#
# gzip -9n keeps neither name nor time, so the same package gives the same bytes (of one gzip; another may differ, and
# the recorded checksum is that of the inflated file).
set -eu
cd "$(dirname "$0")"

SHAKA=5.2.12
HLS=1.7.4
DASH=5.2.1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -f ./*.js.gz ./*.LICENSE.txt

# unpack <package> <version>: leaves the package's files in $work/<package>.
unpack() {
	(cd "$work" && npm pack --silent "$1@$2" >/dev/null && tar -xzf "$1-$2.tgz" && mv package "$1")
}

# entry <id> <name> <version> <license> <notice> <file>: one line of players.json, for the file that take just wrote.
entry() {
	printf '  {"id": "%s", "name": "%s", "version": "%s", "license": "%s", "notice": "%s", "file": "%s", "sha256": "%s"}' \
		"$1" "$2" "$3" "$4" "$5" "$6" "$(gzip -dc "$6.gz" | sha256sum | cut -d' ' -f1)"
}

# take <file in $work> <name here>: without the pointer to a source map, which is not shipped.
take() {
	sed '/^\/\/# sourceMappingURL=.*$/d' "$work/$1" | gzip -9n >"$2.gz"
}

# bundled <notice> <package@version…>: appends the licenses of what a player's file bundles, each text once, below the
# names of all packages that share it. npm's view of the dependencies is wider than the bundle; too many names do no harm.
bundled() {
	notice=$1 tree=$(mktemp -d -p "$work") texts=$(mktemp -d -p "$work")
	shift
	npm install --silent --ignore-scripts --no-audit --no-fund --prefix "$tree" "$@" >/dev/null
	find "$tree/node_modules" -iname 'licen[sc]e*' -type f | LC_ALL=C sort | while read -r file; do
		sum=$(tr -d '\r' <"$file" | sha256sum | cut -d' ' -f1)
		(cd "$(dirname "$file")" && node -p 'const p = require("./package.json"); p.name + " " + p.version') >>"$texts/$sum.names"
		tr -d '\r' <"$file" >"$texts/$sum.text"
	done
	for names in "$texts"/*.names; do
		printf '\n\n----\nThis license covers:\n\n' && cat "$names" && echo && cat "${names%.names}.text"
	done >>"$notice"
}

unpack shaka-player "$SHAKA"
take shaka-player/dist/shaka-player.compiled-es2021.js "shaka-player-$SHAKA.js"
cp "$work/shaka-player/LICENSE" shaka-player.LICENSE.txt

unpack hls.js "$HLS"
take hls.js/dist/hls.min.js "hls-$HLS.js"
cp "$work/hls.js/LICENSE" hls.LICENSE.txt
# hls.js builds these into its file and names them as development dependencies, without a license text.
# shellcheck disable=SC2046 # a list of words
bundled hls.LICENSE.txt $(cd "$work/hls.js" && node -p '
	Object.entries(require("./package.json").devDependencies)
		.filter(([name]) => /^(@svta\/|eventemitter3$|url-toolkit$|promise-polyfill$|@babel\/runtime$)/.test(name))
		.map(([name, version]) => name + "@" + version).join(" ")')

unpack dashjs "$DASH"
take dashjs/dist/modern/umd/dash.all.min.js "dash-$DASH.js"
{
	cat "$work/dashjs/LICENSE.md"
	printf '\n\nThird-party notices of the bundled file:\n\n'
	cat "$work/dashjs/dist/modern/umd/dash.all.min.js.LICENSE.txt"
} >dash.LICENSE.txt
# shellcheck disable=SC2046 # a list of words
bundled dash.LICENSE.txt $(cd "$work/dashjs" && node -p '
	const { dependencies, devDependencies } = require("./package.json");
	Object.entries({ ...dependencies, buffer: devDependencies.buffer, "core-js": devDependencies["core-js"] })
		.map(([name, version]) => name + "@" + version).join(" ")')

{
	echo '['
	entry shaka 'Shaka Player' "$SHAKA" Apache-2.0 shaka-player.LICENSE.txt "shaka-player-$SHAKA.js" && echo ,
	entry hls hls.js "$HLS" Apache-2.0 hls.LICENSE.txt "hls-$HLS.js" && echo ,
	entry dash dash.js "$DASH" BSD-3-Clause dash.LICENSE.txt "dash-$DASH.js" && echo
	echo ']'
} >players.json
chmod 644 ./*.gz ./*.txt players.json
