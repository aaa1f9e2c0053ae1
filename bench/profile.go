package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// profileGateway writes a processor profile of the gateway under each load into a folder, for `go tool pprof`. It is a run
// of its own: a profile costs some of what it measures.
func (l *lab) profileGateway(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	admin, err := freeAddress()
	if err != nil {
		return err
	}
	config := caddyConfig{root: l.root, upstream: l.nginxAddress, handler: drmHandler, global: l.options.global("off"), admin: admin}
	gateway, err := startCaddy("the gateway", l.gateway, l.scratch, gcDefault, config)
	if err != nil {
		return err
	}
	defer gateway.stop()
	for _, load := range []struct {
		file, representation string
		numbers              []segment
	}{{"video.pprof", video, l.videos}, {"audio.pprof", audio, l.audios}} {
		res, err := open(ctx, gateway.files, twoSeconds, load.representation, load.numbers, true)
		if err != nil {
			return err
		}
		if err := l.profileLoad(ctx, gateway, admin, res, filepath.Join(dir, load.file)); err != nil {
			return err
		}
	}
	return l.profileLicenses(ctx, dir)
}

// profileLicenses profiles a gateway of its own: it asks for tokens.
func (l *lab) profileLicenses(ctx context.Context, dir string) error {
	admin, err := freeAddress()
	if err != nil {
		return err
	}
	gateway, err := l.startLicensing(gcDefault, admin)
	if err != nil {
		return err
	}
	defer gateway.stop()
	withToken, withSession, _, err := l.licenses(ctx, gateway)
	if err != nil {
		return err
	}
	if err := l.profileLoad(ctx, gateway, admin, withToken, filepath.Join(dir, "license-token.pprof")); err != nil {
		return err
	}
	return l.profileLoad(ctx, gateway, admin, withSession, filepath.Join(dir, "license-session.pprof"))
}

// profileLoad takes the profile in the middle of a load.
func (l *lab) profileLoad(ctx context.Context, gateway *caddy, admin string, res resource, file string) error {
	const length = 10 * time.Second
	failed := make(chan error, 1)
	go func() {
		_, err := l.generator.run(ctx, res, length, gateway.server)
		failed <- err
	}()
	sleep(ctx, time.Second)
	profile, err := fetch(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", admin, int((length-3*time.Second).Seconds())))
	if loadErr := <-failed; loadErr != nil {
		return loadErr
	}
	if err != nil {
		return err
	}
	return os.WriteFile(file, profile, 0o644)
}
