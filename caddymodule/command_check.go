package caddymodule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

// checkOptions are the flags of `caddy drm check`.
type checkOptions struct {
	CheckRequest
	admin, at string
	headers   []string
	json      bool
}

func checkCommand() *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check <URL>",
		Short: "Says how the running gateway would decide a request, rule by rule",
		Long: `Says how the running gateway would decide a request, rule by rule.

The request is not sent: the gateway finds the site of the URL in its configuration, follows matchers and rewrites there, and
judges. The origin is not asked, nothing is counted against a limit, and no token for one use is used up.

The exit status is 0 if the request would be allowed, 1 if it would be refused, and 2 if that could not be found out.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.URL = args[0]
			report, err := o.ask(time.Now())
			if err == nil {
				err = o.print(cmd.OutOrStdout(), report)
			}
			if err != nil {
				return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return 2, err })(cmd, args)
			}
			if !report.Allowed {
				cmd.SilenceErrors = true
				return errRefusedByCheck
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.IP, "ip", "", "the viewer's address (default 127.0.0.1)")
	flags.StringVar(&o.Token, "token", "", "an access token, beside what the URL and the headers carry; signed URLs that have several parameters are checked as they are")
	flags.StringVar(&o.at, "at", "", "when: an RFC 3339 time, or a duration from now such as 2h or -10m")
	flags.StringArrayVar(&o.headers, "header", nil, "a field of the request, as 'Name: value'; may be given several times")
	flags.StringVar(&o.Method, "method", http.MethodGet, "the method of the request")
	flags.BoolVar(&o.json, "json", false, "print the report as JSON")
	flags.StringVar(&o.admin, "address", "", "the address of Caddy's admin endpoint")
	return cmd
}

// errRefusedByCheck makes the exit status.
var errRefusedByCheck = errors.New("the request would be refused")

// ask sends the question to the running gateway.
func (o *checkOptions) ask(now time.Time) (report CheckReport, err error) {
	if o.at != "" {
		if o.At, err = parseInstant(o.at, now); err != nil {
			return report, err
		}
	}
	if o.Header == nil {
		o.Header = make(http.Header)
	}
	for _, field := range o.headers {
		name, value, ok := strings.Cut(field, ":")
		if !ok {
			return report, fmt.Errorf("--header %q: want 'Name: value'", name)
		}
		o.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	body, err := json.Marshal(o.CheckRequest)
	if err != nil {
		return report, err
	}
	admin, err := caddycmd.DetermineAdminAPIAddress(o.admin, nil, "", "")
	if err != nil {
		return report, err
	}
	res, err := caddycmd.AdminAPIRequest(admin, http.MethodPost, "/drm/check", http.Header{"Content-Type": {"application/json"}}, bytes.NewReader(body))
	if err != nil {
		return report, err
	}
	defer func() { _ = res.Body.Close() }()
	err = json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&report)
	return report, err
}

// parseInstant reads a time, or a distance from now.
func parseInstant(text string, now time.Time) (time.Time, error) {
	if distance, err := time.ParseDuration(text); err == nil {
		return now.Add(distance), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, fmt.Errorf("--at %q: want for instance 2026-12-24T20:00:00Z, 2h or -10m", text)
	}
	return at, nil
}

func (o *checkOptions) print(w io.Writer, r CheckReport) error {
	if o.json {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "\t")
		return encoder.Encode(r)
	}
	word := "refused"
	if r.Allowed {
		word = "allowed"
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "%s\t%s, status %d\n", word, r.Reason, r.Status)
	if r.Mode == modeObserve {
		fmt.Fprintln(table, "\tthe site only observes: it would be served all the same")
	}
	for _, row := range [][2]string{
		{"server", r.Server}, {"tenant", r.Tenant}, {"kind", r.Kind}, {"path", r.Path}, {"asset", r.Asset}, {"country", r.Country}, {"subject", r.Subject},
		{"not run", strings.Join(r.Passed, ", ")},
	} {
		if row[1] != "" {
			fmt.Fprintf(table, "%s\t%s\n", row[0], row[1])
		}
	}
	if !r.Until.IsZero() {
		fmt.Fprintf(table, "until\t%s\n", r.Until.UTC().Format(time.RFC3339))
	}
	fmt.Fprintln(table, "\nrule\tlooked at\tcame out")
	for _, step := range r.Steps {
		outcome := step.Outcome
		if step.Reason != "" {
			outcome = "REFUSED " + step.Reason + ": " + outcome
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", step.Rule, step.Input, outcome)
	}
	return table.Flush()
}
