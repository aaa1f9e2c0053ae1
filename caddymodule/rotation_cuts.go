package caddymodule

import (
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/manifest/dash"
)

// Where the Periods of live MPDs begin whose segments differ in length: once the first segment of a crypto period has left the window, the
// MPD tells it no more, and players stop at a Period that moves. So it is kept in the state, where all nodes find what the first of them saw.

var errCutsUnavailable = errors.New("the shared state does not say where a Period of the channel begins")

// cutsSlack is how long a cut is kept behind the end of its Period, for channels whose window stands still for a while.
const cutsSlack = time.Hour

// cuts returns what remembers where the Periods of an MPD begin that has them cut in crypto periods of that length.
func (p *titleProtector) cuts(length time.Duration, info dash.Info) func(dash.Cut) (time.Duration, error) {
	q := p.q
	// An encoder that begins anew counts its time from another beginning.
	channel := fmt.Sprintf("%q %q %d %d", q.viewers, q.addr.Path, info.Began.UnixNano(), length)
	depth := info.Depth
	if depth == 0 {
		depth = maxDepth
	}
	return func(cut dash.Cut) (time.Duration, error) {
		id := q.state.digest.Digest("cut", fmt.Sprintf("%s %q %q", channel, cut.Original, cut.ID))
		sure, kept := cut.Seen || p.implied, length+depth+cutsSlack // what nobody asked for refuses nothing
		if length == 0 {                                            // it begins with a re-key, and ends with the channel
			sure, kept = true, rekeyKept
		}
		start, err := q.state.Cuts.Cut(q.r.Context(), id, cut.Start, kept, sure)
		if err != nil {
			return 0, errors.Join(errCutsUnavailable, err)
		}
		return start, nil
	}
}

// warnOfNodes tells whose nodes may cut one channel in different ways. How many nodes there are stands in no configuration: several are for
// certain where they share Caddy's storage.
func (a *App) warnOfNodes(shared bool) {
	if _, local := a.ctx.Storage().(*certmagic.FileStorage); shared || local {
		return
	}
	for _, name := range sortedKeys(a.groups) {
		if group := a.groups[name]; group.Rotate > 0 && group.Scheme != drm.SchemeAES128 {
			a.ctx.Logger().Warn("nodes share their storage and not their state: they may disagree where keys change in live MPDs whose segments differ in length; want state redis",
				zap.String("group", name))
		}
	}
}
