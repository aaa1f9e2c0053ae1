package caddymodule

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/inspect"
	"github.com/caddy-drm/caddy-drm/probe"
)

// inspectOptions are the flags of `caddy drm inspect`.
type inspectOptions struct {
	fetch fetchFlags
	init  string
	keys  []string
}

func inspectCommand() *cobra.Command {
	var o inspectOptions
	cmd := &cobra.Command{
		Use:   "inspect <file>|<URL>|-",
		Short: "Explains signals of DRM systems and protected media",
		Long: `Explains in words what is in a file, in what a URL answers, or in what comes in by a pipe: pssh boxes and PlayReady Objects, as they are or in base64; license
requests, licenses and releases of ClearKey, and the initialization data keyids; init and media segments of fragmented MP4, also one behind the other; MPDs and playlists.

With --key it decrypts media segments and says whether what comes out can be media. Nothing of it is printed, and no key.

Exits with 1 if something is broken or a key does not open what it is for.`,
		Args: cobra.ExactArgs(1),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return rightsRun(func(out io.Writer, args []string) error {
			return o.inspect(cmd.Context(), cmd.InOrStdin(), out, args[0])
		})(cmd, args)
	}
	flags := cmd.Flags()
	o.fetch.add(flags)
	flags.StringVar(&o.init, "init", "", "the init segment, file or URL, of a media segment that comes without")
	flags.StringArrayVar(&o.keys, "key", nil, "a key to try, as <KID>:<file with 32 hexadecimal digits>; may be given several times")
	return cmd
}

func (o *inspectOptions) inspect(ctx context.Context, stdin io.Reader, out io.Writer, name string) error {
	var known inspect.Options
	for _, text := range o.keys {
		key, err := readKey(text)
		if err != nil {
			return err
		}
		known.Keys = append(known.Keys, key)
	}
	if o.init != "" {
		var err error
		if known.Init, err = o.read(ctx, nil, o.init); err != nil {
			return err
		}
	}
	input, err := o.read(ctx, stdin, name)
	if err != nil {
		return err
	}
	result, err := inspect.Explain(input, known)
	if err != nil {
		return fmt.Errorf("%s: %w", nameOf(name), err)
	}
	if _, err := io.WriteString(out, result.Text); err != nil {
		return err
	}
	return refusedUnless(result.Broken+result.WrongKey == 0)
}

// read returns what is in a file, what a URL answers, or what comes in if the name is a hyphen.
func (o *inspectOptions) read(ctx context.Context, stdin io.Reader, name string) ([]byte, error) {
	switch {
	case isURL(name):
		return o.ask(ctx, name)
	case name == "-" && stdin != nil:
		input, err := io.ReadAll(io.LimitReader(stdin, inspect.MaxBytes+1))
		if err == nil && len(input) > inspect.MaxBytes {
			err = fmt.Errorf("more than %d bytes come in", inspect.MaxBytes)
		}
		return input, err
	default:
		return readBounded(name, inspect.MaxBytes)
	}
}

// ask says nothing of a URL but its server: the rest may be a token, a session or a seal.
func (o *inspectOptions) ask(ctx context.Context, text string) ([]byte, error) {
	fetcher, u, err := o.fetch.fetcher(text)
	if err != nil {
		return nil, err
	}
	answer, err := fetcher.Fetch(ctx, probe.Request{Method: http.MethodGet, URL: u.String(), Limit: inspect.MaxBytes})
	switch {
	case err != nil:
		return nil, fmt.Errorf("asking %s: %w", u.Host, err)
	case answer.Cut:
		return nil, fmt.Errorf("%s answers with more than %d bytes", u.Host, inspect.MaxBytes)
	case answer.Status == http.StatusOK, answer.Status == http.StatusPartialContent: // with a field Range of the user
		return answer.Body, nil
	case answer.Reason != "":
		return nil, fmt.Errorf("%s answers %d %s", u.Host, answer.Status, answer.Reason)
	default:
		return nil, fmt.Errorf("%s answers %d", u.Host, answer.Status)
	}
}

// nameOf returns what may be said of a name.
func nameOf(name string) string {
	if isURL(name) {
		return "what the URL answers"
	}
	return name
}

// errKeyFlag holds no part of the flag, in which somebody may have written the key itself.
var errKeyFlag = errors.New("--key: want <KID>:<file>, and 32 hexadecimal digits in the file")

// readKey reads <KID>:<file>. A key stands in a file, so that it is not in the list of processes.
func readKey(text string) (drm.ContentKey, error) {
	id, file, ok := strings.Cut(text, ":")
	kid, err := drm.ParseKID(id)
	if !ok || err != nil {
		return drm.ContentKey{}, errKeyFlag
	}
	content, err := readBounded(file, 1<<10)
	if err != nil {
		var pathError *os.PathError
		if errors.As(err, &pathError) {
			err = pathError.Err
		}
		return drm.ContentKey{}, fmt.Errorf("--key: reading the file of KID %s: %w", kid, err)
	}
	secret, err := hex.DecodeString(strings.TrimSpace(string(content)))
	if err != nil {
		return drm.ContentKey{}, errKeyFlag
	}
	key, err := drm.NewContentKey(kid, secret, make([]byte, drm.KeySize)) // the IV of media is in the media
	if err != nil {
		return drm.ContentKey{}, errKeyFlag
	}
	return key, nil
}
