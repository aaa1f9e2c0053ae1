package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-drm/caddy-drm/probe"
)

// probeOptions are the flags of `caddy drm probe`.
type probeOptions struct {
	fetch          fetchFlags
	scheme         string
	segments       int
	all, json      bool
	quiet          bool
	watch, timeout time.Duration
}

func probeCommand() *cobra.Command {
	var o probeOptions
	cmd := &cobra.Command{
		Use:   "probe <manifest URL>",
		Short: "Plays a protected presentation from the outside and says what is wrong with it",
		Long: `Fetches a manifest (DASH or HLS) of this gateway or of any other server as a player would, every rendition in it, its
keys, and segments of each crypto period; decrypts them, and compares what manifest, init segments, media segments, signals
of DRM systems and licenses say of each other. It also looks whether the clear media is there without seal and session.

Keys come from ClearKey license servers and from key URIs. Of other DRM systems it says where their license servers
are and what they answer. No key, token or session is printed.

The exit status is 0 if nothing is wrong, 1 if something is, and 2 if that could not be found out.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cmd.SilenceUsage = true // it was understood
			ok, err := o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), args[0])
			if err != nil {
				return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return 2, err })(cmd, args)
			}
			if !ok {
				cmd.SilenceErrors = true
				return errProblems
			}
			return nil
		},
	}
	flags := cmd.Flags()
	o.fetch.add(flags)
	flags.StringVar(&o.scheme, "drm", "", "asks for cenc or cbcs where the player may choose")
	flags.IntVar(&o.segments, "segments", 3, "how many segments of each rendition in each crypto period")
	flags.BoolVar(&o.all, "all", false, "all segments")
	flags.DurationVar(&o.watch, "watch", 0, "how long a live manifest is followed")
	flags.DurationVar(&o.timeout, "timeout", 10*time.Minute, "when to give up, the time of --watch not counted")
	flags.BoolVar(&o.json, "json", false, "print JSON")
	flags.BoolVarP(&o.quiet, "quiet", "q", false, "say nothing while it runs")
	return cmd
}

// errProblems makes the exit status.
var errProblems = errors.New("the presentation has problems")

// run probes and prints. It is true if nothing is wrong.
func (o *probeOptions) run(ctx context.Context, out, progress io.Writer, manifest string) (bool, error) {
	target, fetcher, err := o.target(manifest)
	if err != nil {
		return false, err
	}
	ctx, cancel := within(ctx, o.timeout+o.watch)
	defer cancel()
	options := probe.Options{URL: target, Segments: o.segments, All: o.all, Watch: o.watch, Now: time.Now, Sleep: sleepFor}
	if !o.quiet {
		options.Progress = func(line string) { _, _ = fmt.Fprintln(progress, line) }
	}
	report, err := probe.Run(ctx, fetcher, options)
	if errors.Is(err, context.DeadlineExceeded) {
		return false, fmt.Errorf("the probe was not done after %s (--timeout): %w", o.timeout+o.watch, err)
	}
	if err != nil {
		return false, err
	}
	if o.json {
		err = printJSON(out, report)
	} else {
		_, err = io.WriteString(out, report.Text())
	}
	return report.OK, err
}

// target reads the flags that say what is asked.
func (o *probeOptions) target(manifest string) (string, *fetcher, error) {
	if o.segments < 1 || o.timeout <= 0 || o.watch < 0 {
		return "", nil, errors.New("--segments and --timeout: want more than zero")
	}
	fetcher, u, err := o.fetch.fetcher(manifest)
	if err != nil {
		return "", nil, err
	}
	if o.scheme != "" {
		if !isOneOf(o.scheme, "cenc", "cbcs") {
			return "", nil, errors.New("--drm: want cenc or cbcs")
		}
		query := querySchemeName + "=" + o.scheme
		if u.RawQuery != "" {
			query = u.RawQuery + "&" + query
		}
		u.RawQuery = query
	}
	return u.String(), fetcher, nil
}

func sleepFor(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
