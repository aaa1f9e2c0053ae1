package caddymodule

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-drm/caddy-drm/token/cat"
)

// catOptions are the flags of `caddy drm token cat`.
type catOptions struct {
	keyFile, algorithm, keyID        string
	issuer, subject, id              string
	audience, methods, countries     []string
	networks                         []string
	asns                             []int64
	host, path, pathPrefix, loginURL string
	expires, renewBy, renewBefore    time.Duration
	once                             bool
	renewIn                          string
}

func catCommand() *cobra.Command {
	var o catOptions
	cmd := &cobra.Command{
		Use:   "cat --key-file <file>",
		Short: "Makes a Common Access Token, as `token cat` accepts it",
		Long: `Makes a Common Access Token (CTA-5007-B) of the kind that "token cat" accepts, and prints it.

The key is read from a file, so that it stands neither in the list of processes nor in the history of a shell: for HS256 the secret,
for ES256 and PS256 the private key as a PEM block. Paths are as the viewer sees them, with what handle_path takes off.`,
		Args: cobra.NoArgs,
		RunE: caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) {
			text, err := o.sign(time.Now())
			if err != nil {
				return 1, err
			}
			if _, err := fmt.Fprintln(os.Stdout, text); err != nil {
				return 1, err
			}
			return 0, nil
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&o.keyFile, "key-file", "", "file that holds the secret or the private key")
	flags.StringVar(&o.algorithm, "algorithm", "HS256", "HS256, ES256 or PS256")
	flags.StringVar(&o.keyID, "key-id", "", "ID of the key, if several are configured")
	flags.StringVar(&o.issuer, "issuer", "", "who makes the token (iss)")
	flags.StringVar(&o.subject, "subject", "", "who the token is for (sub)")
	flags.StringVar(&o.id, "id", "", "name of the token (cti)")
	flags.StringSliceVar(&o.audience, "audience", nil, "which services the token is for (aud); may be given several times")
	flags.DurationVar(&o.expires, "expires", time.Hour, "how long the token is valid (exp)")
	flags.StringVar(&o.host, "host", "", "the only host (catu)")
	flags.StringVar(&o.path, "path", "", "the only path, such as that of a manifest (catu)")
	flags.StringVar(&o.pathPrefix, "path-prefix", "", "what paths begin with, best ending in a slash (catu)")
	flags.StringSliceVar(&o.methods, "method", nil, "method that is allowed (catm); may be given several times. Players need GET, and POST for ClearKey licenses")
	flags.StringSliceVar(&o.countries, "country", nil, "country or subdivision, AT or US-CA (catgeoiso3166); may be given several times")
	flags.StringSliceVar(&o.networks, "network", nil, "network of the viewer, such as 192.0.2.0/24 (catnip); may be given several times")
	flags.Int64SliceVar(&o.asns, "asn", nil, "autonomous system of the viewer (catnip); may be given several times")
	flags.BoolVar(&o.once, "once", false, "the token is good for one use (catreplay)")
	flags.StringVar(&o.loginURL, "login-url", "", "where to send a viewer whose token has expired (catif)")
	flags.DurationVar(&o.renewBy, "renew-by", 0, "how long a renewed token is valid (catr)")
	flags.DurationVar(&o.renewBefore, "renew-before", 0, "how long before its end the token is renewed (catr); a minute if it does not say")
	flags.StringVar(&o.renewIn, "renew-in", "automatic", "how a renewed token comes: automatic, cookie, header or redirect (catr)")
	return cmd
}

// sign returns a token that is valid from now on.
func (o catOptions) sign(now time.Time) (string, error) {
	key, err := o.readKey()
	if err != nil {
		return "", err
	}
	claims, err := o.claims(now)
	if err != nil {
		return "", err
	}
	return cat.Sign(key, claims)
}

func (o catOptions) readKey() (cat.Key, error) {
	if o.keyFile == "" {
		return cat.Key{}, errors.New("--key-file is required")
	}
	algorithm, err := cat.ParseAlgorithm(o.algorithm)
	if err != nil {
		return cat.Key{}, fmt.Errorf("--algorithm: %w", err)
	}
	content, err := readBounded(o.keyFile, maxKeyFile)
	if err != nil {
		return cat.Key{}, err
	}
	if algorithm == cat.HS256 {
		return cat.SecretKey(o.keyID, catSecret(strings.TrimSpace(string(content))))
	}
	return cat.PrivateKeyPEM(o.keyID, algorithm, content)
}

func (o catOptions) claims(now time.Time) (map[int64]any, error) {
	if o.expires < time.Second {
		return nil, errors.New("--expires: want a second or more")
	}
	claims := map[int64]any{cat.Expires: now.Add(o.expires).Unix(), cat.IssuedAt: now.Unix(), cat.Version: int64(1)}
	for label, text := range map[int64]string{cat.Issuer: o.issuer, cat.Subject: o.subject} {
		if text != "" {
			claims[label] = text
		}
	}
	for label, list := range map[int64][]string{cat.Audience: o.audience, cat.Method: o.methods, cat.GeoISO3166: o.countries} {
		if len(list) > 0 {
			claims[label] = list
		}
	}
	if o.id != "" {
		claims[cat.ID] = []byte(o.id)
	}
	if o.once {
		claims[cat.Replay] = int64(1)
	}
	if o.loginURL != "" {
		claims[cat.If] = map[int64]any{cat.Expires: []any{int64(307), map[string]any{"Location": o.loginURL}}}
	}
	if parts := o.uri(); len(parts) > 0 {
		claims[cat.URI] = parts
	}
	if err := o.addNetworks(claims); err != nil {
		return nil, err
	}
	return claims, o.addRenewal(claims)
}

func (o catOptions) uri() map[int64]any {
	parts := make(map[int64]any)
	if o.host != "" {
		parts[cat.PartHost] = map[int64]any{cat.MatchExact: o.host}
	}
	path := make(map[int64]any)
	if o.path != "" {
		path[cat.MatchExact] = o.path
	}
	if o.pathPrefix != "" {
		path[cat.MatchPrefix] = o.pathPrefix
	}
	if len(path) > 0 {
		parts[cat.PartPath] = path
	}
	return parts
}

func (o catOptions) addNetworks(claims map[int64]any) error {
	var networks []any
	for _, text := range o.networks {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			addr, addrErr := netip.ParseAddr(text)
			if addrErr != nil {
				return fmt.Errorf("--network: %w", err)
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		networks = append(networks, cat.Network(prefix))
	}
	for _, asn := range o.asns {
		networks = append(networks, asn)
	}
	if len(networks) > 0 {
		claims[cat.NetworkIP] = networks
	}
	return nil
}

func (o catOptions) addRenewal(claims map[int64]any) error {
	if o.renewBy == 0 {
		return nil
	}
	types := map[string]int64{"automatic": 0, "cookie": 1, "header": 2, "redirect": 3}
	kind, ok := types[o.renewIn]
	if !ok {
		return errors.New("--renew-in: want automatic, cookie, header or redirect")
	}
	claims[cat.Renewal] = cat.RenewalClaim(kind, o.renewBy, o.renewBefore)
	return nil
}
