package caddymodule

import (
	"errors"
	"fmt"
	"strings"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-drm/caddy-drm/token"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "drm",
		Short: "Tools of the media protection plugin",
		Long:  "Tools of caddy-drm, the plugin that protects media at request time.",
		CobraFunc: func(parent *cobra.Command) {
			parent.AddCommand(tokenCommand())
			parent.AddCommand(checkCommand())
		},
	})
}

// tokenOptions are the flags of `caddy drm token`.
type tokenOptions struct {
	keyFile, keyID, subject string
	prefixes, countries     []string
	expires                 time.Duration
}

func tokenCommand() *cobra.Command {
	var o tokenOptions
	cmd := &cobra.Command{
		Use:   "token --key-file <file> --prefix <path>",
		Short: "Makes an access token of the kind that `token signed` accepts",
		Long: `Makes an access token of the kind that "token signed" accepts, and prints it.

The key is read from a file, so that it stands neither in the list of processes nor in the history of a shell.
Prefixes are clean paths as the drm directive sees them: below handle_path, without its prefix.`,
		Args: cobra.NoArgs,
		RunE: caddycmd.WrapCommandFuncForCobra(func(flags caddycmd.Flags) (int, error) {
			text, err := o.sign(time.Now())
			if err != nil {
				return 1, err
			}
			fmt.Println(text)
			return 0, nil
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&o.keyFile, "key-file", "", "file that holds the secret")
	flags.StringVar(&o.keyID, "key-id", "", "ID of the key, if several are configured")
	flags.StringSliceVar(&o.prefixes, "prefix", nil, "path that the token allows, with all below it; may be given several times")
	flags.StringSliceVar(&o.countries, "country", nil, "country where the token may be used; may be given several times")
	flags.StringVar(&o.subject, "subject", "", "who the token is for")
	flags.DurationVar(&o.expires, "expires", time.Hour, "how long the token is valid")
	return cmd
}

// sign returns a token that is valid from now on.
func (o tokenOptions) sign(now time.Time) (string, error) {
	if o.keyFile == "" {
		return "", errors.New("--key-file is required")
	}
	if len(o.prefixes) == 0 {
		return "", errors.New("--prefix is required; / allows the whole site")
	}
	if o.expires <= 0 {
		return "", errors.New("--expires: want a time above zero")
	}
	secret, err := readBounded(o.keyFile, maxKeyFile)
	if err != nil {
		return "", err
	}
	key, err := token.SecretKey(o.keyID, []byte(strings.TrimSpace(string(secret))))
	if err != nil {
		return "", err
	}
	return token.SignPrefix(key, token.Claims{
		Subject: o.subject, Scope: o.prefixes, Countries: o.countries, Expires: now.Add(o.expires),
	})
}
