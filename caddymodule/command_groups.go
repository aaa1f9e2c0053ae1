package caddymodule

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/caddy-drm/caddy-drm/drm"
)

// groupsOptions are the flags of `caddy drm groups`.
type groupsOptions struct {
	config, adapter string
	asJSON          bool
}

func groupsCommand() *cobra.Command {
	var o groupsOptions
	cmd := &cobra.Command{
		Use:   "groups --config <file> [<name>...]",
		Short: "Prints what DRM groups become in each DRM system",
		Long: `Prints what the DRM groups of a configuration become in each DRM system: the levels and the output protection that a license
server has to be told, and the configuration with which a page asks EME for the system. Nothing is loaded and nobody is asked.

Groups that cannot work are printed with the reason, and the exit status is 1.`,
		RunE: rightsRun(func(out io.Writer, args []string) error { return o.print(out, args) }),
	}
	flags := cmd.Flags()
	flags.StringVar(&o.config, "config", "", "the configuration (default: Caddyfile in this directory)")
	flags.StringVar(&o.adapter, "adapter", "", "the adapter of the configuration (default: caddyfile for a Caddyfile)")
	flags.BoolVar(&o.asJSON, "json", false, "print JSON")
	return cmd
}

// GroupReport is what `caddy drm groups --json` prints of one group.
type GroupReport struct {
	Name  string       `json:"name"`
	Group *GroupConfig `json:"group"`
	// HDCPLevel is the attribute HDCP-LEVEL of HLS.
	HDCPLevel string `json:"hdcp_level,omitempty"`
	// LiveRotate is the length of the crypto periods of live titles under cenc, where the group does not say one.
	LiveRotate string         `json:"live_rotate,omitempty"`
	Systems    []SystemReport `json:"systems,omitempty"`
	Problems   []string       `json:"problems,omitempty"`
	Warnings   []string       `json:"warnings,omitempty"`
}

// SystemReport is what a group becomes in one system: the policy is that of the system alone.
type SystemReport struct {
	System    string               `json:"system"`
	KeySystem string               `json:"key_system"`
	Widevine  *drm.WidevinePolicy  `json:"widevine,omitempty"`
	PlayReady *drm.PlayReadyPolicy `json:"playready,omitempty"`
	FairPlay  *FairPlayReport      `json:"fairplay,omitempty"`
	EME       drm.EMEConfiguration `json:"eme"`
}

// FairPlayReport is what a license server for FairPlay has to be told.
type FairPlayReport struct {
	HDCP string `json:"hdcp"`
}

// print reads the configuration and prints the groups that are named, or all.
func (o *groupsOptions) print(out io.Writer, names []string) error {
	groups, err := o.load()
	if err != nil {
		return err
	}
	for _, name := range names {
		if groups[name] == nil {
			return fmt.Errorf("no group is named %q", name)
		}
	}
	reports := []GroupReport{}
	for _, name := range sortedKeys(groups) {
		if len(names) == 0 || slices.Contains(names, name) {
			reports = append(reports, reportGroup(name, groups[name]))
		}
	}
	if o.asJSON {
		err = printJSON(out, reports)
	} else {
		err = printGroups(out, reports)
	}
	if err != nil {
		return err
	}
	return refusedUnless(!slices.ContainsFunc(reports, func(r GroupReport) bool { return len(r.Problems) > 0 }))
}

// load returns the groups of the configuration.
func (o *groupsOptions) load() (map[string]*GroupConfig, error) {
	text, file, err := readConfig(o.config, o.adapter)
	if err != nil {
		return nil, err
	}
	var config struct {
		Apps struct {
			DRM struct {
				Groups map[string]*GroupConfig `json:"groups"`
			} `json:"drm"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	return config.Apps.DRM.Groups, nil
}

func reportGroup(name string, c *GroupConfig) GroupReport {
	r := GroupReport{Name: name, Group: c}
	if c == nil {
		r.Problems = []string{"want a group"}
		return r
	}
	g, err := c.group(name)
	if err != nil {
		r.Problems = []string{err.Error()}
		return r
	}
	problems, warnings := g.Check(false)
	for _, problem := range problems {
		r.Problems = append(r.Problems, problem.String())
	}
	for _, warning := range warnings {
		r.Warnings = append(r.Warnings, warning.String())
	}
	r.HDCPLevel = g.HDCPLevel()
	if length := g.LiveRotation(drm.SchemeCenc); g.Rotate == 0 && length > 0 && (!g.Scheme.Valid() || g.Scheme == drm.SchemeCenc) {
		r.LiveRotate = durationText(caddy.Duration(length))
	}
	for _, system := range g.SignaledSystems() {
		r.Systems = append(r.Systems, reportSystem(g, system))
	}
	return r
}

func reportSystem(g drm.Group, system drm.SystemID) SystemReport {
	r := SystemReport{System: system.Word(), KeySystem: system.KeySystem(), EME: g.EME(system)}
	switch system {
	case drm.SystemWidevine:
		p := g.Widevine()
		r.Widevine = &p
	case drm.SystemPlayReady:
		p := g.PlayReady()
		r.PlayReady = &p
	case drm.SystemFairPlay:
		r.FairPlay = &FairPlayReport{HDCP: g.FairPlayHDCP()}
	}
	return r
}

// printGroups prints for people.
func printGroups(out io.Writer, reports []GroupReport) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(reports) == 0 {
		_, _ = fmt.Fprintln(w, "The configuration has no groups.")
	}
	for i, r := range reports {
		if i > 0 {
			_, _ = fmt.Fprintln(w)
		}
		_, _ = fmt.Fprintf(w, "%s\n", r.Name)
		if r.Group != nil {
			_, _ = fmt.Fprintf(w, "  %s\n", r.Group.sentence())
		}
		if r.HDCPLevel != "" {
			_, _ = fmt.Fprintf(w, "  HLS\tHDCP-LEVEL=%s\n", r.HDCPLevel)
		}
		if r.LiveRotate != "" {
			_, _ = fmt.Fprintf(w, "  live cenc\tkeys that are derived change every %s\n", r.LiveRotate)
		}
		for _, system := range r.Systems {
			_, _ = fmt.Fprintf(w, "  %s\t%s\n", system.System, system.policy())
			eme, err := json.Marshal(system.EME)
			if err != nil {
				return err
			}
			_, _ = fmt.Fprintf(w, "  \t%s %s\n", system.KeySystem, eme)
		}
		for _, problem := range r.Problems {
			_, _ = fmt.Fprintf(w, "  refused\t%s\n", problem)
		}
		for _, warning := range r.Warnings {
			_, _ = fmt.Fprintf(w, "  warning\t%s\n", warning)
		}
	}
	return w.Flush()
}

// policy says in one line what a license has to hold.
func (r *SystemReport) policy() string {
	switch {
	case r.Widevine != nil:
		p := r.Widevine
		text := fmt.Sprintf("security level %d (%s), audio %d (%s), %s", p.VideoSecurityLevel, p.VideoRobustness, p.AudioSecurityLevel, p.AudioRobustness, p.HDCP)
		if p.CanPersist {
			text += ", can_persist"
		}
		if p.CanRenew {
			text += ", can_renew"
		}
		return text
	case r.PlayReady != nil:
		p := r.PlayReady
		text := fmt.Sprintf("SL%d, audio SL%d, digital video output protection level %d", p.SecurityLevel, p.AudioSecurityLevel, p.DigitalVideoOutput)
		if p.HDCPType1 {
			text += ", HDCP Type 1"
		}
		return text
	case r.FairPlay != nil:
		return "HDCP " + r.FairPlay.HDCP
	default:
		return "keys in clear, to whoever may watch"
	}
}

// sentence says what the configuration says, with its defaults.
func (c *GroupConfig) sentence() string {
	or := func(word, standard string) string {
		if word == "" {
			return standard
		}
		return word
	}
	parts := []string{"level " + or(c.Level, drm.LevelLow.String()), c.License.sentence()}
	if c.Rotate != 0 {
		parts = append(parts, "rotate "+durationText(c.Rotate))
	}
	parts = append(parts, "scheme "+or(c.Scheme, schemeAuto), "hdcp "+or(c.HDCP, drm.HDCPNone.String()))
	if c.ClearLead != 0 {
		parts = append(parts, "clear lead "+durationText(c.ClearLead))
	}
	if c.PlayReadyHeader != "" {
		parts = append(parts, "PlayReady header "+c.PlayReadyHeader)
	}
	if c.PsshInInit {
		parts = append(parts, "pssh in init")
	}
	return strings.Join(parts, ", ")
}

func (l *GroupLicense) sentence() string {
	if l == nil {
		return "temporary license"
	}
	text := "temporary license"
	if l.Persistent {
		text = "persistent license"
	}
	if l.Duration != 0 {
		text += " of " + durationText(l.Duration)
	}
	if l.Rental != 0 {
		text += ", rental " + durationText(l.Rental)
	}
	if l.Playback != 0 {
		text += ", playback " + durationText(l.Playback)
	}
	if l.Renew != 0 {
		text += ", renewed after " + durationText(l.Renew)
	}
	return text
}

// durationText leaves out the zeros at the end.
func durationText(d caddy.Duration) string {
	text := time.Duration(d).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
