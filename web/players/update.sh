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

unpack shaka-player "$SHAKA"
take shaka-player/dist/shaka-player.compiled-es2021.js "shaka-player-$SHAKA.js"
cp "$work/shaka-player/LICENSE" shaka-player.LICENSE.txt

unpack hls.js "$HLS"
take hls.js/dist/hls.min.js "hls-$HLS.js"
cp "$work/hls.js/LICENSE" hls.LICENSE.txt

unpack dashjs "$DASH"
take dashjs/dist/modern/umd/dash.all.min.js "dash-$DASH.js"
{
	cat "$work/dashjs/LICENSE.md"
	printf '\n\nThird-party notices of the bundled file:\n\n'
	cat "$work/dashjs/dist/modern/umd/dash.all.min.js.LICENSE.txt"
} >dash.LICENSE.txt

{
	echo '['
	entry shaka 'Shaka Player' "$SHAKA" Apache-2.0 shaka-player.LICENSE.txt "shaka-player-$SHAKA.js" && echo ,
	entry hls hls.js "$HLS" Apache-2.0 hls.LICENSE.txt "hls-$HLS.js" && echo ,
	entry dash dash.js "$DASH" BSD-3-Clause dash.LICENSE.txt "dash-$DASH.js" && echo
	echo ']'
} >players.json
chmod 644 ./*.gz ./*.txt players.json
