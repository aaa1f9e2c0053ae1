package player

import (
	"context"
	"fmt"
	"time"

	"github.com/chromedp/chromedp"
)

// Session is one page that plays one URL. Its methods must not run at the same time.
type Session struct {
	options Options
	tab     context.Context
	cancel  context.CancelFunc
	log     *requestLog
}

// status is what every function of the page returns.
type status struct {
	OK       bool     `json:"ok"`
	Missing  string   `json:"missing"`
	Color    [3]uint8 `json:"color"`
	Fatal    []string `json:"fatal"`
	Warnings []string `json:"warnings"`
	Refusals []struct {
		Status int    `json:"status"`
		Reason string `json:"reason"`
	} `json:"refusals"`
	KeySystem string `json:"keySystem"`
	Sessions  []struct {
		Keys  []struct{ KID, Status string } `json:"keys"`
		Error string                         `json:"error"`
	} `json:"sessions"`
	WaitingForKey int      `json:"waitingForKey"`
	CurrentTime   float64  `json:"currentTime"`
	Presented     float64  `json:"presented"`
	VideoHeight   int      `json:"videoHeight"`
	DecodedFrames int      `json:"decodedFrames"`
	DroppedFrames int      `json:"droppedFrames"`
	AudioBytes    int64    `json:"audioBytes"`
	Buffered      []string `json:"buffered"`
	OpenSessions  int      `json:"openSessions"`
	Stalls        []Break  `json:"stalls"`
	Jumps         []Break  `json:"jumps"`
}

// Close stops the player and closes the page.
func (s *Session) Close() {
	ctx, cancel := context.WithTimeout(s.tab, 5*time.Second)
	_, _ = chromedp.Run(ctx, chromedp.Evaluate[map[string]any]("harness.stop()", chromedp.EvalAwaitPromise))
	cancel()
	s.cancel()
}

// SeekAndRead pauses, seeks to t seconds, waits until the frame at t is the one presented, and reads it from a
// screenshot. The caller compares Picture.Frame with t × 25.
func (s *Session) SeekAndRead(ctx context.Context, t float64) (Picture, error) {
	st, err := s.step(ctx, fmt.Sprintf("seeking to %.2f s", t), fmt.Sprintf("harness.seek(%g, %d)", t, s.options.Timeout.Milliseconds()))
	if err != nil {
		return Picture{}, err
	}
	return s.readStable(ctx, int(st.Presented*s.options.FrameRate+0.5))
}

// readStable takes screenshots until one shows the frame that the browser says is presented: the screen can lag behind
// by one frame. What the last one shows is returned, right or wrong.
func (s *Session) readStable(ctx context.Context, want int) (Picture, error) {
	var p Picture
	for try := range 5 {
		if try > 0 {
			if _, err := s.run(ctx, "new Promise((done) => setTimeout(() => done({}), 100))"); err != nil {
				return Picture{}, err
			}
		}
		var err error
		if p, err = s.Read(ctx); err != nil {
			return Picture{}, err
		}
		if p.Frame == want && p.Corners {
			break
		}
	}
	return p, nil
}

// Read takes a screenshot of whatever is shown now and reads it.
func (s *Session) Read(ctx context.Context) (Picture, error) {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	screenshot, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		return Picture{}, fmt.Errorf("taking a screenshot: %w", err)
	}
	return parsePicture(screenshot)
}

// SwitchVideo turns bitrate adaptation off, selects the rendition of this height in pixels, plays on, and returns once
// pictures of that height are decoded. Less than six seconds before the end it first goes back to eight seconds before it.
func (s *Session) SwitchVideo(ctx context.Context, height int) error {
	st, err := s.step(ctx, fmt.Sprintf("switching to height %d", height), fmt.Sprintf("harness.switchVideo(%d, %d)", height, s.options.Timeout.Milliseconds()))
	if err == nil && st.VideoHeight != height {
		err = fmt.Errorf("%s: switching to height %d: the picture has height %d", s.options.Player, height, st.VideoHeight)
	}
	return err
}

// Thumbnail returns the color, red, green and blue, in the middle of the picture that the player would show on its timeline for t seconds.
// Shaka Player and dash.js have such pictures.
func (s *Session) Thumbnail(ctx context.Context, t float64) ([3]uint8, error) {
	st, err := s.step(ctx, fmt.Sprintf("looking for the thumbnail of %.2f s", t), fmt.Sprintf("harness.thumbnail(%g)", t))
	return st.Color, err
}

// PlayUntil resumes and returns once the media clock has reached t seconds, or the end. It may take as long as playing
// that far takes, plus Options.Timeout.
func (s *Session) PlayUntil(ctx context.Context, t float64) error {
	now, err := s.step(ctx, "reading the clock", "({ok: true, ...harness.state()})")
	if err != nil {
		return err
	}
	limit := s.options.Timeout + time.Duration(max(0, t-now.CurrentTime)*float64(time.Second))
	_, err = s.step(ctx, fmt.Sprintf("playing until %.2f s", t), fmt.Sprintf("harness.playUntil(%g, %d)", t, limit.Milliseconds()))
	return err
}

// Resume plays on for some time, also behind an error of the player's from which it may recover, and returns what the session has seen by then.
func (s *Session) Resume(ctx context.Context, d time.Duration) (Result, error) {
	st, err := s.run(ctx, fmt.Sprintf("harness.resume(%d)", d.Milliseconds()))
	if err != nil {
		return Result{}, fmt.Errorf("playing on: %w", err)
	}
	return s.result(st), nil
}

// Result returns what the session has seen so far. Playback goes on.
func (s *Session) Result(ctx context.Context) (Result, error) {
	st, err := s.run(ctx, "({ok: true, ...harness.state()})")
	if err != nil {
		return Result{}, fmt.Errorf("reading the result: %w", err)
	}
	return s.result(st), nil
}

// step runs a function of the page and turns its failure, or a fatal error of the player, into a *PlaybackError.
func (s *Session) step(ctx context.Context, doing, script string) (status, error) {
	st, err := s.run(ctx, script)
	if err != nil {
		return status{}, fmt.Errorf("%s: %s: %w", s.options.Player, doing, err)
	}
	if !st.OK || len(st.Fatal) > 0 {
		if st.Missing != "" {
			st.Fatal = append(st.Fatal, st.Missing)
		}
		return status{}, &PlaybackError{Player: s.options.Player, Doing: doing, Result: s.result(st)}
	}
	return st, nil
}

func (s *Session) run(ctx context.Context, script string) (status, error) {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[status](script, chromedp.EvalAwaitPromise))
}

// bound returns the tab's context, ended by the caller's as well.
func (s *Session) bound(caller context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(s.tab)
	stop := context.AfterFunc(caller, func() { cancel(context.Cause(caller)) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

func (s *Session) result(st status) Result {
	r := Result{
		Fatal: st.Fatal, Warnings: st.Warnings, KeySystem: st.KeySystem, KeySessions: len(st.Sessions),
		WaitingForKey: st.WaitingForKey, Requests: s.log.snapshot(),
		DecodedFrames: st.DecodedFrames, DroppedFrames: st.DroppedFrames, AudioBytes: st.AudioBytes,
		CurrentTime: st.CurrentTime, Presented: st.Presented, VideoHeight: st.VideoHeight, Buffered: st.Buffered,
		OpenSessions: st.OpenSessions, Stalls: st.Stalls, Jumps: st.Jumps,
	}
	for _, refusal := range st.Refusals {
		r.Refusals = append(r.Refusals, Refusal(refusal))
	}
	for _, session := range st.Sessions {
		if session.Error != "" {
			r.KeyErrors = append(r.KeyErrors, session.Error)
		}
		for _, k := range session.Keys {
			r.Keys = append(r.Keys, KeyStatus(k))
		}
	}
	return r
}
