package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/geo"
	"github.com/caddy-drm/caddy-drm/rights"
)

// rightsOptions are the flags of `caddy drm rights …`.
type rightsOptions struct {
	at, country      string
	plans, purchases []string
	allowUnlisted    bool
	asJSON           bool
}

func rightsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "rights", Short: "Checks, explains and imports catalogs of rights"}
	cmd.AddCommand(rightsCheckCommand(), rightsShowCommand(), rightsImportCommand())
	return cmd
}

// errRefused makes a subcommand exit with 1 after it has said everything.
var errRefused = errors.New("refused")

// rightsRun runs a subcommand whose failures are for a terminal: one line for each mistake, and not a log.
func rightsRun(run func(out io.Writer, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		err := run(cmd.OutOrStdout(), args)
		if err != nil && !errors.Is(err, errRefused) {
			_, _ = fmt.Fprintln(cmd.ErrOrStderr(), err)
		}
		return err
	}
}

func rightsCheckCommand() *cobra.Command {
	var o rightsOptions
	cmd := &cobra.Command{
		Use:   "check <file>",
		Short: "Looks for mistakes in a catalog of rights",
		Long: `Looks for mistakes in a catalog of rights, and for what is allowed and most likely not meant: windows that contradict
each other, gaps, windows that are over, paths that are never reached. Exits with 1 if anything is an error.`,
		Args: cobra.ExactArgs(1),
		RunE: rightsRun(func(out io.Writer, args []string) error { return o.check(out, args[0]) }),
	}
	cmd.Flags().StringVar(&o.at, "at", "", "judge as at this time instead of now (RFC 3339)")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print the findings as JSON")
	return cmd
}

func rightsShowCommand() *cobra.Command {
	var o rightsOptions
	cmd := &cobra.Command{
		Use:   "show <file> <path>",
		Short: "Explains what a catalog says of a path",
		Long: `Explains what a catalog of rights says of a clean path: which title it belongs to, whether it may be watched by a
viewer with these plans and purchases in that country, until when, and if not, why. Exits with 1 if it may not.`,
		Args: cobra.ExactArgs(2),
		RunE: rightsRun(func(out io.Writer, args []string) error { return o.show(out, args[0], args[1]) }),
	}
	flags := cmd.Flags()
	flags.StringVar(&o.at, "at", "", "judge as at this time instead of now (RFC 3339)")
	flags.StringVar(&o.country, "country", "", "where the viewer is; without it the country is not known")
	flags.StringSliceVar(&o.plans, "plan", nil, "plan of the viewer; may be given several times")
	flags.StringSliceVar(&o.purchases, "purchase", nil, "title that the viewer has bought or rented; may be given several times")
	flags.BoolVar(&o.allowUnlisted, "unlisted-allow", false, "as on a site with unlisted allow")
	flags.BoolVar(&o.asJSON, "json", false, "print the outcome as JSON")
	return cmd
}

func rightsImportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "import <file>",
		Short: "Makes a catalog of rights of an ODRL policy",
		Long: `Makes a catalog of rights of an ODRL policy in JSON-LD, or of a list of them, and prints it as YAML. What the policy
says and a catalog cannot is an error; nothing is left out.`,
		Args: cobra.ExactArgs(1),
		RunE: rightsRun(func(out io.Writer, args []string) error {
			text, err := readBounded(args[0], rights.MaxBytes)
			if err != nil {
				return err
			}
			catalog, err := rights.ImportODRL(text)
			if err != nil {
				return inFile(args[0], err)
			}
			_, err = out.Write(catalog.AppendYAML(nil))
			return err
		}),
	}
}

// refusedUnless is the status of a question that was answered.
func refusedUnless(good bool) error {
	if good {
		return nil
	}
	return errRefused
}

// inFile puts the name of the file in front of each mistake, as compilers do.
func inFile(name string, err error) error {
	var mistakes rights.Mistakes
	if !errors.As(err, &mistakes) {
		return err
	}
	lines := make([]string, len(mistakes))
	for i, mistake := range mistakes {
		lines[i] = positionIn(name, mistake)
	}
	return errors.New(strings.Join(lines, "\n"))
}

func positionIn(name string, m rights.Mistake) string {
	line := m.Line
	if m.Line = 0; line > 0 {
		name = fmt.Sprintf("%s:%d", name, line)
	}
	return name + ": " + m.Error()
}

func (o rightsOptions) instant() (time.Time, error) {
	if o.at == "" {
		return time.Now(), nil
	}
	at, err := rights.ParseTime(o.at)
	if err != nil {
		return time.Time{}, fmt.Errorf("--at: %w", err)
	}
	return at, nil
}

func (o rightsOptions) check(out io.Writer, file string) error {
	at, err := o.instant()
	if err != nil {
		return err
	}
	text, err := readBounded(file, rights.MaxBytes)
	if err != nil {
		return err
	}
	catalog, err := rights.Parse(text)
	var mistakes rights.Mistakes
	findings := []rights.Finding{}
	switch {
	case errors.As(err, &mistakes):
		for _, mistake := range mistakes {
			findings = append(findings, rights.Finding{Severity: rights.SeverityError, Mistake: mistake})
		}
	case err != nil:
		return err
	default:
		findings = append(findings, catalog.Lint(at)...)
	}
	good := true
	for _, finding := range findings {
		good = good && finding.Severity != rights.SeverityError
		if !o.asJSON {
			_, _ = fmt.Fprintf(out, "%s: %s\n", finding.Severity, positionIn(file, finding.Mistake))
		}
	}
	switch {
	case o.asJSON:
		err = writeIndented(out, findings)
	case catalog != nil:
		_, err = fmt.Fprintf(out, "%s, %s, %s\n", counted(len(catalog.Titles()), "title"), counted(len(catalog.Blackouts()), "blackout"), counted(len(findings), "finding"))
	default:
		err = nil
	}
	if err != nil {
		return err
	}
	return refusedUnless(good)
}

// counted is a number of things in words: 1 title, 2 titles.
func counted(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return strconv.Itoa(n) + " " + thing
}

func writeIndented(out io.Writer, v any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// shownOutcome is what `show --json` prints.
type shownOutcome struct {
	Allowed bool   `json:"allowed"`
	Outcome string `json:"outcome"`
	Title   string `json:"title,omitempty"`
	Line    int    `json:"line,omitempty"`
	Group   string `json:"group,omitempty"`
	Window  string `json:"window,omitempty"`
	Until   string `json:"until,omitempty"`
	Opens   string `json:"opens,omitempty"`
}

func (o rightsOptions) show(out io.Writer, file, path string) error {
	at, err := o.instant()
	if err != nil {
		return err
	}
	if clean, err := address.ParsePath(address.Path(path).Escaped()); err != nil || string(clean) != path {
		return errors.New("want a clean path such as /vod/film/manifest.mpd, decoded, without seal and session")
	}
	query := rights.Query{Now: at, Path: path, Plans: o.plans, Purchases: o.purchases, AllowUnlisted: o.allowUnlisted}
	if o.country != "" {
		if query.Country, err = geo.ParseCountry(o.country); err != nil {
			return fmt.Errorf("--country: %w", err)
		}
	}
	text, err := readBounded(file, rights.MaxBytes)
	if err != nil {
		return err
	}
	catalog, err := rights.Parse(text)
	if err != nil {
		return inFile(file, err)
	}
	outcome := catalog.Decide(query)
	shown := describeShown(outcome)
	if o.asJSON {
		err = writeIndented(out, shown)
	} else {
		err = shown.write(out, query, outcome.Title)
	}
	if err != nil {
		return err
	}
	return refusedUnless(shown.Allowed)
}

func describeShown(outcome rights.Outcome) shownOutcome {
	shown := shownOutcome{Allowed: outcome.Verdict.Admits(), Outcome: outcome.Verdict.String()}
	if outcome.Title != nil {
		shown.Title, shown.Line, shown.Group = outcome.Title.Name(), outcome.Title.Line(), outcome.Title.Group
	}
	switch {
	case outcome.Blackout != nil:
		shown.Window = outcome.Blackout.String()
	case outcome.Window != nil:
		shown.Window = outcome.Window.String()
	}
	if !outcome.Until.IsZero() {
		shown.Until = rights.FormatTime(outcome.Until)
	}
	if !outcome.Opens.IsZero() {
		shown.Opens = rights.FormatTime(outcome.Opens)
	}
	return shown
}

// write prints the outcome, and all windows of the title with the one that decided marked.
func (s shownOutcome) write(out io.Writer, query rights.Query, title *rights.Title) error {
	var b strings.Builder
	fmt.Fprintf(&b, "path     %s\nat       %s\ncountry  %s\n", query.Path, rights.FormatTime(query.Now), query.Country)
	if title != nil {
		fmt.Fprintf(&b, "title    %s, line %d", s.Title, s.Line)
		if s.Group != "" {
			fmt.Fprintf(&b, ", group %s", s.Group)
		}
		b.WriteByte('\n')
		for i := range title.Windows {
			mark := " "
			if text := title.Windows[i].String(); text == s.Window {
				mark = ">"
			}
			fmt.Fprintf(&b, "window %s %s\n", mark, title.Windows[i].String())
		}
	}
	fmt.Fprintf(&b, "outcome  %s\n", s.Outcome)
	for _, row := range []struct{ name, value string }{{"until", s.Until}, {"opens", s.Opens}} {
		if row.value != "" {
			fmt.Fprintf(&b, "%-8s %s\n", row.name, row.value)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}
