// Package players embeds the three players that the player page can use: Shaka Player, hls.js and dash.js, gzipped as
// update.sh fetched them. README.md lists their versions, checksums and licenses.
//
// It is a package of its own so that a program that does not import it does not carry 660 kB of other people's code.
package players

import "embed"

// FS holds players.json, the list of players, and for each file named there the gzipped script with ".gz" appended. The
// licenses lie beside them.
//
//go:embed players.json *.js.gz *.LICENSE.txt
var FS embed.FS
