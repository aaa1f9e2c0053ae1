package caddymodule

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/caddy-drm/caddy-drm/token"
)

// mintOptions are the flags that commands which make a token share.
type mintOptions struct {
	keyFile string
	expires time.Duration
}

func (o *mintOptions) flags(cmd *cobra.Command, keyFile string) *pflag.FlagSet {
	flags := cmd.Flags()
	flags.StringVar(&o.keyFile, "key-file", "", keyFile)
	flags.DurationVar(&o.expires, "expires", time.Hour, "how long the token is valid")
	return flags
}

// key reads the key file. It is text, without the white space around it.
func (o *mintOptions) key() ([]byte, error) {
	if o.keyFile == "" {
		return nil, errors.New("--key-file is required")
	}
	if o.expires <= 0 {
		return nil, errors.New("--expires: want a time above zero")
	}
	secret, err := readBounded(o.keyFile, maxKeyFile)
	if err != nil {
		return nil, err
	}
	return []byte(strings.TrimSpace(string(secret))), nil
}

// mintCommand is a command that prints what mint returns.
func mintCommand(use, short, long string, mint func(now time.Time) (string, error)) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := mint(time.Now())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
			return err
		},
	}
}

const keyFileNote = "\n\nThe key is read from a file, so that it stands neither in the list of processes nor in the history of a shell."

// tokenCommand makes tokens of the kind `signed` itself, and has a command for each kind.
func tokenCommand() *cobra.Command {
	cmd := signedCommand("token --key-file <file> --prefix <path>")
	cmd.AddCommand(
		signedCommand("signed --key-file <file> --prefix <path>"), jwtCommand(), akamaiCommand(), cloudFrontCommand(), secureLinkCommand(),
		flussonicCommand(), bunnyCommand(), catCommand(), explainCommand(),
	)
	return cmd
}

// signedOptions are the flags of `caddy drm token signed`.
type signedOptions struct {
	mintOptions
	keyID, subject      string
	prefixes, countries []string
}

func signedCommand(use string) *cobra.Command {
	var o signedOptions
	cmd := mintCommand(use, "Makes an access token of the kind that `token signed` accepts",
		`Makes an access token of the kind that "token signed" accepts, and prints it.`+keyFileNote+`
Prefixes are clean paths as the drm directive sees them: below handle_path, without its prefix.`,
		func(now time.Time) (string, error) { return o.sign(now) })
	flags := o.flags(cmd, "file that holds the secret")
	flags.StringVar(&o.keyID, "key-id", "", "ID of the key, if several are configured")
	flags.StringSliceVar(&o.prefixes, "prefix", nil, "path that the token allows, with all below it; may be given several times")
	flags.StringSliceVar(&o.countries, "country", nil, "country where the token may be used; may be given several times")
	flags.StringVar(&o.subject, "subject", "", "who the token is for")
	return cmd
}

// sign returns a token that is valid from now on.
func (o *signedOptions) sign(now time.Time) (string, error) {
	secret, err := o.key()
	if err != nil {
		return "", err
	}
	if len(o.prefixes) == 0 {
		return "", errors.New("--prefix is required; / allows the whole site")
	}
	key, err := token.SecretKey(o.keyID, secret)
	if err != nil {
		return "", err
	}
	return token.SignPrefix(key, token.Claims{
		Subject: o.subject, Scope: o.prefixes, Countries: o.countries, Expires: now.Add(o.expires),
	})
}

// jwtOptions are the flags of `caddy drm token jwt`.
type jwtOptions struct {
	mintOptions
	algorithm, keyID string
	maxStreams       int
	streams          *pflag.Flag // of maxStreams
	texts            map[string]*string
	lists            map[string]*[]string
}

func jwtCommand() *cobra.Command {
	o := jwtOptions{texts: map[string]*string{}, lists: map[string]*[]string{}}
	cmd := mintCommand("jwt --key-file <file> --algorithm <name> --path <path>", "Makes a JWT of the kind that `token jwt` accepts",
		`Makes a JWT of the kind that "token jwt" accepts, and prints it.`+keyFileNote+`
For HS256, HS384 and HS512 the file holds the secret, for the others a private key in PEM (PKCS #8, PKCS #1 or SEC 1).`, o.sign)
	flags := o.flags(cmd, "file that holds the secret or the private key")
	flags.StringVar(&o.algorithm, "algorithm", "", "signature algorithm, for instance ES256")
	flags.StringVar(&o.keyID, "key-id", "", "kid of the key")
	for flag, claim := range map[string]string{"subject": "sub", "id": "jti", "issuer": "iss", "home-country": "home_country", "device": "device", "level": "level"} {
		o.texts[claim] = flags.String(flag, "", "claim "+claim)
	}
	flags.IntVar(&o.maxStreams, "max-streams", 0, "claim max_streams, 1 to 255")
	o.streams = flags.Lookup("max-streams")
	for flag, claim := range map[string]string{
		"audience": "aud", "path": "paths", "country": "countries", "host": "hosts", "plan": "plans", "purchase": "purchases",
	} {
		o.lists[claim] = flags.StringSlice(flag, nil, "claim "+claim+"; may be given several times")
	}
	return cmd
}

func (o *jwtOptions) sign(now time.Time) (string, error) {
	key, err := o.key()
	if err != nil {
		return "", err
	}
	algorithm, err := token.ParseAlgorithm(o.algorithm)
	if err != nil {
		return "", fmt.Errorf("--algorithm: %w", err)
	}
	if len(*o.lists["paths"]) == 0 {
		return "", errors.New("--path is required; / allows the whole site")
	}
	claims := map[string]any{"iat": now.Unix(), "exp": now.Add(o.expires).Unix()}
	if o.streams.Changed {
		if o.maxStreams < 1 || o.maxStreams > 255 {
			return "", errors.New("--max-streams: want 1 to 255")
		}
		claims["max_streams"] = o.maxStreams
	}
	for name, value := range o.texts {
		if *value != "" {
			claims[name] = *value
		}
	}
	for name, values := range o.lists {
		if len(*values) > 0 {
			claims[name] = *values
		}
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	var material any = key
	if strings.HasPrefix(o.algorithm, "HS") {
		_, err = token.SecretKey(o.keyID, key, algorithm) // refuses what the verifier would
	} else {
		material, err = parsePrivateKey(key)
	}
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{
		Algorithm: jose.SignatureAlgorithm(algorithm), Key: jose.JSONWebKey{Key: material, KeyID: o.keyID},
	}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", errors.New("the key does not fit the algorithm")
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", errors.New("the key does not fit the algorithm")
	}
	return signed.CompactSerialize()
}

// parsePrivateKey reads one private key in PEM. Its errors say nothing of what is in the file.
func parsePrivateKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("the key file holds no PEM")
	}
	for _, parse := range []func([]byte) (any, error){
		x509.ParsePKCS8PrivateKey,
		func(b []byte) (any, error) { return x509.ParsePKCS1PrivateKey(b) },
		func(b []byte) (any, error) { return x509.ParseECPrivateKey(b) },
	} {
		if key, err := parse(block.Bytes); err == nil {
			if signer, ok := key.(crypto.Signer); ok {
				return signer, nil
			}
		}
	}
	return nil, errors.New("the key file holds no private key that is known here")
}
