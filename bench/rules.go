package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	// viewers is how many subjects ask at the same time, each with a session of its own.
	viewers = 64
	// ruledTitles is the size of the catalog.
	ruledTitles = 100_000
	// ruledDatabase places this machine's addresses in Austria.
	ruledDatabase = "testdata/geo/example-country.mmdb"
	// rulesSecret is the key of all tokens.
	rulesSecret = "a secret of benchmarks, which stands for nothing"
)

// rules are a site with every rule on: sessions of JWTs, a country, a catalog of rights, two rates and two limits of streams. All
// of them let our viewers pass.
type rules struct {
	program         string // the gateway, which makes the tokens, too
	secret          string // file with the key of the tokens
	global, handler string
}

func newRules(ctx context.Context, program, dir string) (*rules, error) {
	r := &rules{program: program, secret: filepath.Join(dir, "token.key")}
	catalog := filepath.Join(dir, "catalog.json")
	database, err := filepath.Abs(ruledDatabase)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(r.secret, []byte(rulesSecret), 0o600); err != nil {
		return nil, err
	}
	if err := writeCatalog(catalog); err != nil {
		return nil, err
	}
	r.global = fmt.Sprintf("\t\tgeo_database country %s\n\t\trights bench %s\n", database, catalog)
	r.handler = fmt.Sprintf(`	drm {
		tenant bench
		scheme cenc
		license_server clearkey
		token jwt {
			algorithms HS256
			secret {file.%s}
		}
		session path 4h
		geo country {
			allow AT DE CH
			unknown deny
		}
		rights bench
		limit requests 1000000 per 1s by subject
		limit requests 10000000 per 1s by address
		limit streams 8 by subject
		limit streams 100000 by title
	}
`, r.secret)
	return r, ctx.Err()
}

// writeCatalog writes a catalog in which ours is one of many titles.
func writeCatalog(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	fmt.Fprintf(w, `{"titles":[{"path":"/%s/","territories":["AT","DE"],"model":"free","windows":[{"end":"2099-01-01T00:00:00Z"}]}`, twoSeconds)
	for i := range ruledTitles - 1 {
		fmt.Fprintf(w, `,{"path":"/vod/title-%d/","territories":"AT","model":"free"}`, i)
	}
	fmt.Fprint(w, "]}")
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// token makes the access token of one viewer.
func (r *rules) token(ctx context.Context, viewer int) (string, error) {
	cmd := exec.CommandContext(ctx, r.program, "drm", "token", "jwt", "--key-file", r.secret, "--algorithm", "HS256",
		"--path", "/"+twoSeconds, "--subject", fmt.Sprintf("viewer-%d", viewer))
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("making a token: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// target opens the segments as every viewer, each in a session of its own; requests take the viewers in turn.
func (r *rules) target(ctx context.Context, gateway *caddy, numbers []segment) (target, error) {
	all := target{name: judgedFiles, servers: []*server{gateway.server}}
	perViewer := make([][]string, viewers)
	for viewer := range viewers {
		token, err := r.token(ctx, viewer)
		if err != nil {
			return target{}, err
		}
		res, err := openAs(ctx, token, gateway.files, twoSeconds, audio, numbers, true)
		if err != nil {
			return target{}, err
		}
		all.res.base, all.res.meanSize, perViewer[viewer] = res.base, res.meanSize, res.paths
	}
	for i := range numbers {
		for _, paths := range perViewer {
			all.res.paths = append(all.res.paths, paths[i])
		}
	}
	return all, nil
}
