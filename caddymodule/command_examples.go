package caddymodule

import (
	"strings"

	"github.com/spf13/cobra"
)

// commandDocs stands below the help of each command, in place of the address of Caddy's own documentation.
const commandDocs = "\nFull documentation is available at:\nhttps://github.com/caddy-drm/caddy-drm/tree/main/docs\n"

// commandExamples are those of each command, by its name below `caddy drm`.
var commandExamples = map[string][]string{
	"check": {
		`https://media.example.com/vod/demo/manifest.mpd --ip 192.0.2.7 --token "$TOKEN"`,
		"https://media.example.com/vod/demo/manifest.mpd --at 2h",
	},
	"groups":        {"--config Caddyfile", "--config Caddyfile premium"},
	"inspect":       {"manifest.mpd", "https://media.example.com/vod/demo/manifest.mpd --token \"$TOKEN\"", "segment.m4s --init init.mp4 --key 01234567-89ab-cdef-0123-456789abcdef:key.hex", "-"},
	"keys":          {"--config Caddyfile https://media.example.com/vod/demo/manifest.mpd --scheme cenc"},
	"probe":         {"https://media.example.com/vod/demo/manifest.mpd", "https://media.example.com/live/master.m3u8 --watch 5m"},
	"rekey":         {`--title /vod/demo/ --note "keys published"`, "--group premium"},
	"revoke":        {`--subject 4711 --for 24h --note "shared account"`, "--list", "--lift 0f3c2a11"},
	"rights check":  {"rights.yaml"},
	"rights import": {"policy.jsonld > rights.yaml"},
	"rights show":   {"rights.yaml /vod/summer/manifest.mpd --country AT --plan basic"},
	"token":         {"--key-file signed.key --prefix /demo", "jwt --key-file secret.key --algorithm HS256 --path /demo --subject viewer-7", "explain - < token.txt"},

	"token akamai":      {"--key-file akamai.key --acl '/demo/*' --expires 2h"},
	"token bunny":       {"--key-file bunny.key --url /vod/demo/manifest.mpd --directory /vod/demo/"},
	"token cat":         {"--key-file secret.key --path /vod/demo/manifest.mpd --subject viewer-7"},
	"token cloudfront":  {"--key-file private.pem --key-id K2JCJMDEHXQW5F --url 'https://media.example.com/vod/demo/*'"},
	"token explain":     {"- < token.txt", "'https://media.example.com/vod/demo/manifest.mpd?token=…' --key-file signed.key"},
	"token flussonic":   {"--key-file flussonic.key --stream news --ip 192.0.2.7"},
	"token jwt":         {"--key-file private.pem --algorithm ES256 --path /demo --subject viewer-7"},
	"token secure-link": {"--key-file secret.key --url /vod/demo/manifest.mpd --ip 192.0.2.7"},
	"token signed":      {"--key-file signed.key --prefix /demo --expires 2h --subject viewer-7"},
}

// showExamples gives the commands below cmd, which is called name, their examples.
func showExamples(cmd *cobra.Command, name string) {
	for _, sub := range cmd.Commands() {
		below := strings.TrimSpace(name + " " + sub.Name())
		lines := commandExamples[below]
		for i, line := range lines {
			if i > 0 {
				sub.Example += "\n"
			}
			sub.Example += "  caddy drm " + below + " " + line
		}
		showExamples(sub, below)
	}
}
