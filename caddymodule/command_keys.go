package caddymodule

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
)

// keysOptions are the flags of `caddy drm keys`.
type keysOptions struct {
	config, adapter string
	address         string
	tenant, group   string
	scheme          string
	at, periods     string
	generation      int
	secrets, asJSON bool
}

func keysCommand() *cobra.Command {
	var o keysOptions
	cmd := &cobra.Command{
		Use:   "keys --config <file> <URL or path of a manifest>",
		Short: "Lists the keys of a title: KIDs by track class, scheme and crypto period",
		Long: `Lists the content keys that a title has under a configuration: a KID for each track class, scheme and crypto period. The
configuration is read as caddy validate reads it; nothing is served. Keys that are not derived from the secret are asked
of their source, which may make them.

The title is named by the URL of a manifest, from which the site is found, or by its path on the only site. A directory
ends with a slash. Which keys are in use also depends on the emergency re-keys, which the running gateway knows: say
--address, or --generation.

Without --show-secrets no key is printed.`,
		Args: cobra.ExactArgs(1),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return rightsRun(func(out io.Writer, args []string) error {
			return o.run(cmd.Context(), out, cmd.ErrOrStderr(), args[0], time.Now())
		})(cmd, args)
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.config, "config", "c", "", "the configuration (default: Caddyfile in this directory)")
	flags.StringVarP(&o.adapter, "adapter", "a", "", "the adapter of the configuration (default: caddyfile for a Caddyfile)")
	flags.StringVar(&o.address, "address", "", "the admin endpoint of the running gateway, to ask for emergency re-keys")
	flags.IntVar(&o.generation, "generation", -1, "the number of emergency re-keys, in place of --address")
	flags.StringVar(&o.tenant, "tenant", "", "the tenant of the site, where a path does not say it")
	flags.StringVar(&o.group, "group", "", "the DRM group, where a catalog of rights names another than the site")
	flags.StringVar(&o.scheme, "scheme", "", "cenc, cbcs or aes-128 (default: what the site or the group may use)")
	flags.StringVar(&o.at, "at", "", "the crypto period of a live title at an RFC 3339 time, or at a distance from now such as 2h or -10m")
	flags.StringVar(&o.periods, "periods", "", "crypto periods <first>-<last>; those of a title on demand begin with 0")
	flags.BoolVar(&o.secrets, "show-secrets", false, "print the keys themselves")
	flags.BoolVar(&o.asJSON, "json", false, "print JSON")
	return cmd
}

// KeysReport is what `caddy drm keys --json` prints.
type KeysReport struct {
	Tenant     string `json:"tenant"`
	Asset      string `json:"asset"`
	Group      string `json:"group,omitempty"`
	Generation uint32 `json:"generation"`
	Rotate     string `json:"rotate,omitempty"`
	// LiveRotate is the length of the crypto periods of a live title under cenc, where the group does not say one.
	LiveRotate string     `json:"live_rotate,omitempty"`
	Keys       []KeyEntry `json:"keys"`
}

// KeyEntry is one key.
type KeyEntry struct {
	Period uint32 `json:"period"`
	// Begins is when the period does in a live title; without rotation it is zero.
	Begins time.Time `json:"begins,omitzero"`
	Scheme string    `json:"scheme"`
	Class  string    `json:"class"`
	// KID is empty where the source has no key.
	KID string `json:"kid,omitempty"`
	// Key and IV are there with --show-secrets only.
	Key string `json:"key,omitempty"`
	IV  string `json:"iv,omitempty"`
}

// Bounds of what is listed.
const (
	maxListedPeriods = 10_000
	keysTimeout      = time.Minute
)

func (o *keysOptions) run(ctx context.Context, out, warnings io.Writer, title string, now time.Time) error {
	ctx, cancel := within(ctx, keysTimeout)
	defer cancel()
	loaded, err := loadKeys(o.config, o.adapter)
	if err != nil {
		return err
	}
	defer loaded.close()
	site, err := loaded.site(ctx, title, o.tenant)
	if err != nil {
		return err
	}
	group, err := o.groupOf(site)
	if err != nil {
		return err
	}
	report := KeysReport{Tenant: site.tenant, Asset: string(site.asset), Group: group.Name}
	if group.Rotate > 0 {
		report.Rotate = group.Rotate.String()
	}
	if report.Generation, err = o.generationOf(warnings, site.names(), report); err != nil {
		return err
	}
	schemes, err := o.schemes(group)
	if err != nil {
		return err
	}
	of := keysource.Title{Tenant: site.tenant, Group: group.Name, Asset: string(site.asset), Generation: report.Generation}
	titles, err := o.titles(site.handler, group, of, schemes, now)
	if err != nil {
		return err
	}
	for _, title := range titles {
		if title.rotate > 0 && group.Rotate == 0 {
			report.LiveRotate = title.rotate.String()
		}
		if err := o.list(ctx, &report, site.handler.sourceOf(group.Name), title); err != nil {
			return err
		}
	}
	if o.secrets {
		_, _ = fmt.Fprintln(warnings, "WARNING: what follows opens the title. Whoever sees it needs no license.")
	}
	return o.print(out, report)
}

// groupOf returns the DRM group of the title.
func (o *keysOptions) groupOf(s titleSite) (drm.Group, error) {
	if o.group == "" {
		return s.handler.groupFor(string(s.asset)), nil
	}
	return s.handler.siteGroup(o.group)
}

// schemes are those that are listed.
func (o *keysOptions) schemes(group drm.Group) ([]drm.ProtectionScheme, error) {
	switch {
	case o.scheme != "":
		scheme, err := drm.ParseProtectionScheme(o.scheme)
		if err != nil {
			return nil, errors.New("--scheme: want cenc, cbcs or aes-128")
		}
		return []drm.ProtectionScheme{scheme}, nil
	case group.Scheme.Valid():
		return []drm.ProtectionScheme{group.Scheme}, nil
	}
	return drm.Schemes[:], nil
}

// list adds the keys of a title in one crypto period.
func (o *keysOptions) list(ctx context.Context, report *KeysReport, source keysource.Source, of titleInPeriod) error {
	classes := []drm.TrackClass{drm.ClassShared}
	if source.Split() {
		classes = drm.SplitClasses[:]
	}
	for _, class := range classes {
		entry := KeyEntry{Period: of.Period, Scheme: of.Scheme.String(), Class: class.String()}
		if of.rotate > 0 {
			entry.Begins = time.Unix(int64(of.Period)*int64(of.rotate/time.Second), 0).UTC()
		}
		key, err := source.ContentKey(ctx, keysource.Request{Title: of.Title, Class: class})
		switch {
		case errors.Is(err, keysource.ErrUnknownKey):
		case err != nil:
			return fmt.Errorf("asking for the key of %s, %s: %w", of.Scheme, class, err)
		default:
			entry.KID = key.KID().String()
			if secret, iv := key.Secret(), key.ConstantIV(); o.secrets {
				entry.Key, entry.IV = hex.EncodeToString(secret[:]), hex.EncodeToString(iv[:])
			}
		}
		report.Keys = append(report.Keys, entry)
	}
	return nil
}

func (o *keysOptions) print(out io.Writer, r KeysReport) error {
	if o.asJSON {
		return printJSON(out, r)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(w, "tenant\t%s\nasset\t%s\n", r.Tenant, r.Asset)
	if r.Group != "" {
		_, _ = fmt.Fprintf(w, "group\t%s\n", r.Group)
	}
	_, _ = fmt.Fprintf(w, "generation\t%d\n", r.Generation)
	if r.Rotate != "" {
		_, _ = fmt.Fprintf(w, "rotate\t%s\n", r.Rotate)
	}
	if r.LiveRotate != "" {
		_, _ = fmt.Fprintf(w, "rotate\t%s, live under cenc\n", r.LiveRotate)
	}
	_, _ = fmt.Fprint(w, "\nperiod\tscheme\tclass\tKID")
	if o.secrets {
		_, _ = fmt.Fprint(w, "\tkey\tconstant IV")
	}
	_, _ = fmt.Fprintln(w)
	for _, k := range r.Keys {
		kid := k.KID
		if kid == "" {
			kid = "none"
		}
		period := strconv.FormatUint(uint64(k.Period), 10)
		if !k.Begins.IsZero() && o.periods == "" {
			period += " from " + k.Begins.Format(time.RFC3339)
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s", period, k.Scheme, k.Class, kid)
		if o.secrets {
			_, _ = fmt.Fprintf(w, "\t%s\t%s", k.Key, k.IV)
		}
		_, _ = fmt.Fprintln(w)
	}
	return w.Flush()
}
