package caddymodule

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-drm/caddy-drm/state"
)

// revokeOptions are the flags of `caddy drm revoke`.
type revokeOptions struct {
	admin              adminOptions
	values             map[state.RevocationKind]*string
	tenant, note, lift string
	life               time.Duration
	list               bool
}

// revocationWords say what a value of each kind is.
var revocationWords = map[state.RevocationKind]string{
	state.RevokeToken:   "revokes a token, by its ID (jti)",
	state.RevokeSubject: "revokes all tokens and sessions of a subject",
	state.RevokeSession: "revokes a session, by its playback of 16 hexadecimal digits",
	state.RevokeDevice:  "revokes all tokens and sessions of a device",
	state.RevokeTitle:   "revokes a title, by its clean path, with all below it",
	state.RevokeKey:     "revokes a content key, by its KID",
}

func revokeCommand() *cobra.Command {
	o := revokeOptions{values: make(map[state.RevocationKind]*string)}
	cmd := &cobra.Command{
		Use:   "revoke --subject|--token|--session|--device|--title|--key <value> --for <duration> | --list | --lift <id>",
		Short: "Revokes access on all nodes, lists and lifts revocations",
		Long: `Revokes what a running gateway would admit: a token by its ID (jti), all tokens of a subject or of a device, a
session by its playback as the placeholder {http.drm.playback} has it, a title by its clean path with all below it,
or a content key by its KID. It holds on all nodes that share their state within seconds, and ends by itself.

--list prints the revocations in force, --lift ends one of them before its time.`,
		Args: cobra.NoArgs,
		RunE: caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) {
			if err := o.run(os.Stdout); err != nil {
				return 1, err
			}
			return 0, nil
		}),
	}
	flags := cmd.Flags()
	for _, kind := range state.RevocationKinds {
		o.values[kind] = flags.String(string(kind), "", revocationWords[kind])
	}
	flags.StringVar(&o.tenant, "tenant", "", "site that it holds for: its tenant, or its host without the port, and the prefix; all without it")
	flags.DurationVar(&o.life, "for", 0, "how long it holds; at least as long as what it is about could be used")
	flags.StringVar(&o.note, "note", "", "a note for whoever reads the list; it names nobody")
	flags.BoolVar(&o.list, "list", false, "print the revocations in force")
	flags.StringVar(&o.lift, "lift", "", "ID of the revocation to end")
	o.admin.flags(flags)
	return cmd
}

// run talks to the admin API and prints what it says.
func (o revokeOptions) run(out io.Writer) error {
	var asked []revocationRequest
	for _, kind := range state.RevocationKinds {
		if value := *o.values[kind]; value != "" {
			asked = append(asked, revocationRequest{Kind: kind, Value: value, Tenant: o.tenant, For: o.life.String(), Note: o.note})
		}
	}
	method, path, body := http.MethodGet, "/drm/revocations", []byte(nil)
	switch {
	case o.list && o.lift == "" && len(asked) == 0:
	case o.lift != "" && !o.list && len(asked) == 0:
		method, path = http.MethodDelete, path+"/"+o.lift
	case len(asked) == 1 && !o.list && o.lift == "":
		if o.life <= 0 {
			return errors.New("--for: want a time above zero")
		}
		text, err := json.Marshal(asked[0])
		if err != nil {
			return err
		}
		method, body = http.MethodPost, text
	default:
		return errors.New("want one of --subject, --token, --session, --device, --title, --key, --list and --lift")
	}
	return o.admin.send(out, method, path, body)
}
