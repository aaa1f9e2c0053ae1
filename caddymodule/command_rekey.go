package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

// rekeyOptions are the flags of `caddy drm rekey`.
type rekeyOptions struct {
	asked rekeyRequest
	admin adminOptions
}

func rekeyCommand() *cobra.Command {
	var o rekeyOptions
	cmd := &cobra.Command{
		Use:   "rekey --title <path> | --group <name>",
		Short: "Gives a title or a DRM group new keys at once, on all nodes",
		Long: `Gives new content keys to a title, named by its clean path with all below it, or to all titles of a DRM group. New
manifests name the new keys at once, on all nodes that share their state within seconds. Addresses and licenses under
older keys go on for the time of rekey_grace, and are answered 404 from then on. It survives restarts, and cannot be
taken back: each call is one more generation of keys.

The media itself is encrypted at request time, so nothing has to be packaged again.`,
		Args: cobra.NoArgs,
		RunE: caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) {
			if err := o.run(os.Stdout); err != nil {
				return 1, err
			}
			return 0, nil
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&o.asked.Title, "title", "", "clean path of the title, as the drm directive sees it")
	flags.StringVar(&o.asked.Group, "group", "", "name of the DRM group")
	flags.StringVar(&o.asked.Tenant, "tenant", "", "site that it holds for: its tenant, or its host without the port, and the prefix; all without it")
	flags.StringVar(&o.asked.Note, "note", "", "a note for whoever reads the list; it names nobody")
	o.admin.flags(flags)
	return cmd
}

func (o rekeyOptions) run(out io.Writer) error {
	if (o.asked.Title == "") == (o.asked.Group == "") {
		return errors.New("want one of --title and --group")
	}
	body, err := json.Marshal(o.asked)
	if err != nil {
		return fmt.Errorf("writing the request: %w", err)
	}
	return o.admin.send(out, http.MethodPost, "/drm/rekeys", body)
}
