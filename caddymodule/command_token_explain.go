package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-drm/caddy-drm/token"
)

// explainOptions are the flags of `caddy drm token explain`.
type explainOptions struct {
	keyFile, keyID, ip, host, path, country, hash, expression, saltFile string
	md5Name, expiresName                                                string
	algorithms                                                          []string
	noCheckIP, escapeEarly                                              bool
}

// presented is what was given to explain: a URL, or a text that is a token alone.
type presented struct {
	text    string
	url     *url.URL // nil if it is no URL
	carrier token.Carrier
}

// explanation says what a credential is. It holds no signature and no key.
type explanation struct {
	kind  string
	lines [][2]string
	raw   string // what the verifier takes
	// verifier makes the verifier with the content of a key file; nil where none can be made outside of a running site.
	verifier func(o explainOptions, key []byte) (token.Verifier, error)
}

func (e *explanation) say(name, format string, args ...any) {
	e.lines = append(e.lines, [2]string{name, fmt.Sprintf(format, args...)})
}

// sayIf leaves out what is empty.
func (e *explanation) sayIf(name, text string) {
	if text != "" {
		e.say(name, "%s", text)
	}
}

// explainers know one kind each, and return nil for what is none. The first that knows it counts; who cannot be mistaken comes first.
var explainers = []func(p presented, now time.Time) *explanation{
	explainCloudFront, explainAkamai, explainBunny, explainFlussonic, explainSecureLink, explainSigned, explainJWT,
	explainCAT,
}

func explainCommand() *cobra.Command {
	var o explainOptions
	cmd := &cobra.Command{
		Use:   "explain [<token or URL>|-]",
		Short: "Says what a token is and what is in it",
		Long: `Says what a token, or the token in a URL, is and what is in it, and whether it holds at this moment if a key file is given. It prints
no signature, no key and not the token. With - it reads the token from standard input, which leaves it out of the history of a shell.

Signatures of URLs cover the path, the host or the address of the client: they are taken from the URL, --path, --host and --ip.`,
		Args: cobra.MaximumNArgs(1),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		text, err := readPresented(cmd.InOrStdin(), args)
		if err != nil {
			return err
		}
		said, err := o.explain(cmd.Context(), text, time.Now())
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(cmd.OutOrStdout(), said)
		return err
	}
	flags := cmd.Flags()
	flags.StringVar(&o.keyFile, "key-file", "", "file with the secret, public key or JWK Set to verify with")
	flags.StringVar(&o.keyID, "key-id", "", "ID of the key in the file")
	flags.StringSliceVar(&o.algorithms, "algorithm", nil, "algorithms of the key of a JWT; by default those that fit it")
	flags.StringVar(&o.ip, "ip", "", "the client's address")
	flags.StringVar(&o.host, "host", "", "the requested host, if it is not in a URL")
	flags.StringVar(&o.path, "path", "", "the requested path, if it is not in a URL")
	flags.StringVar(&o.country, "country", "", "the viewer's country")
	flags.StringVar(&o.hash, "hash", "", "hash of an Akamai token, or weak hash that is accepted of bunny.net's: sha256, sha1, md5")
	flags.StringVar(&o.saltFile, "salt-file", "", "file that holds the salt of Akamai tokens")
	flags.BoolVar(&o.escapeEarly, "escape-early", false, "values of Akamai tokens are percent-encoded before they are signed")
	flags.StringVar(&o.expression, "expression", "$secure_link_expires$uri$remote_addr $secret", "expression of nginx's secure links")
	flags.StringVar(&o.md5Name, "md5-name", "md5", "parameter of the hash of nginx's secure links")
	flags.StringVar(&o.expiresName, "expires-name", "expires", "parameter of their expiry")
	flags.BoolVar(&o.noCheckIP, "no-check-ip", false, "Flussonic tokens are made without the client's address")
	return cmd
}

func readPresented(stdin io.Reader, args []string) (string, error) {
	if len(args) == 1 && args[0] != "-" {
		return args[0], nil
	}
	b, err := io.ReadAll(io.LimitReader(stdin, 64<<10))
	if err != nil {
		return "", fmt.Errorf("reading standard input: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// explain returns what is printed.
func (o explainOptions) explain(ctx context.Context, text string, now time.Time) (string, error) {
	if text == "" {
		return "", errors.New("want a token or a URL")
	}
	p, err := parsePresented(text)
	if err != nil {
		return "", err
	}
	if p.url != nil {
		p.rename(map[string]string{o.md5Name: "md5", o.expiresName: "expires"})
	}
	var e *explanation
	for _, known := range explainers {
		if e = known(p, now); e != nil {
			break
		}
	}
	if e == nil {
		if strings.Contains(text, "~s.") {
			return "a session: only the site that minted it can open it\n", nil
		}
		return "", errors.New("no kind of token that is known here")
	}
	verdict, err := o.verify(ctx, p, e, now)
	if err != nil {
		return "", err
	}
	e.say("holds", "%s", verdict)
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", e.kind)
	for _, line := range e.lines {
		fmt.Fprintf(&b, "  %-12s %s\n", line[0], printable(line[1]))
	}
	return b.String(), nil
}

// printable keeps what a stranger wrote into a token from doing anything to a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '\uFFFD'
		}
		return r
	}, text)
}

func parsePresented(text string) (presented, error) {
	p := presented{text: text, carrier: token.Carrier{}}
	if !strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "?") && !isURL(text) {
		return p, nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return p, errors.New("not a URL that can be read")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return p, errors.New("not a query that can be read")
	}
	p.url, p.carrier.RawQuery, p.carrier.Query = u, u.RawQuery, query
	first, _, _ := strings.Cut(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
	if _, bare := elementValue(first, ""); strings.Contains(first, "=") || bare {
		p.carrier.Element = first
		if decoded, err := url.PathUnescape(first); err == nil {
			u.Path, u.RawPath = strings.TrimPrefix(u.Path, "/"+decoded), ""
		}
	}
	return p, nil
}

// rename gives parameters of a site's own naming the names that explainers look for.
func (p *presented) rename(names map[string]string) {
	pairs := strings.Split(p.url.RawQuery, "&")
	for i, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		if standard, ok := names[name]; ok {
			pairs[i] = standard + "=" + value
		}
	}
	p.url.RawQuery = strings.Join(pairs, "&")
	p.carrier.RawQuery, p.carrier.Query = p.url.RawQuery, p.url.Query()
}

// tokens returns the texts that may be a token of a form of its own: all of it, or what stands in the query or path of a URL.
func (p presented) tokens() []string {
	if p.url == nil {
		return []string{strings.TrimPrefix(p.text, "Bearer ")}
	}
	var all []string
	for _, values := range p.carrier.Query {
		all = append(all, values...)
	}
	if element := p.carrier.Element; element != "" {
		_, value, named := strings.Cut(element, "=")
		if !named {
			value = element
		}
		all = append(all, value)
	}
	return all
}

// verify judges the credential as a site with this key would, at this moment.
func (o explainOptions) verify(ctx context.Context, p presented, e *explanation, now time.Time) (string, error) {
	if o.keyFile == "" {
		return "not checked: no --key-file", nil
	}
	if e.verifier == nil {
		return "not checked: this kind cannot be verified here", nil
	}
	key, err := os.ReadFile(o.keyFile)
	if err != nil {
		return "", fmt.Errorf("reading the key file: %w", err)
	}
	v, err := e.verifier(o, []byte(strings.TrimSpace(string(key))))
	if err != nil {
		return "", fmt.Errorf("--key-file: %w", err)
	}
	req, pathKnown, err := o.request(p, now)
	if err != nil {
		return "", err
	}
	_, err = v.Verify(ctx, e.raw, req)
	switch {
	case err == nil && pathKnown:
		return "yes, for " + req.PublicPath, nil
	case err == nil:
		return "yes", nil
	case errors.Is(err, token.ErrScope) && !pathKnown:
		return "the signature fits; whether it is for the address is not known: give a URL or --path, and --host and --ip", nil
	case errors.Is(err, token.ErrSignature) && !pathKnown:
		return "no: " + err.Error() + "; what it signs may hold the path: give a URL or --path", nil
	case errors.Is(err, token.ErrScope):
		return "no: " + err.Error() + ": " + req.PublicPath + "; below handle_path, --path is without its prefix", nil
	default:
		return "no: " + err.Error(), nil
	}
}

// request is the one that the token is judged on.
func (o explainOptions) request(p presented, now time.Time) (req token.Request, pathKnown bool, err error) {
	req = token.Request{Now: now, Host: hostName(o.host), Scheme: "https", Path: "/", Country: strings.ToUpper(o.country), Method: "GET"}
	if p.url != nil {
		if p.url.Host != "" {
			req.Host = hostName(p.url.Host)
		}
		if p.url.Scheme != "" {
			req.Scheme = p.url.Scheme
		}
		if pathKnown = p.url.Path != ""; pathKnown {
			req.Path = p.url.Path
		}
		req.RawQuery = withoutParameters(p.url.RawQuery, explainedParameters)
	}
	if o.path != "" {
		req.Path, pathKnown = o.path, true
	}
	req.PublicPath = req.Path
	req.Addr, err = addrFlag(o.ip)
	return req, pathKnown, err
}

// when says an instant, and how far it is from now.
func when(at, now time.Time) string {
	text := at.UTC().Format("2006-01-02 15:04:05 UTC")
	distance := at.Sub(now).Round(time.Second)
	if distance > 0 {
		return text + ", in " + distance.String()
	}
	return text + ", " + (-distance).String() + " ago"
}

// sayTimes says when a token holds. A zero instant is none.
func (e *explanation) sayTimes(start, expires, now time.Time) {
	if start.Unix() > 0 {
		e.say("from", "%s", when(start, now))
	}
	if expires.Unix() > 0 {
		text := when(expires, now)
		if !now.Before(expires) {
			text += ": it has expired"
		}
		e.say("expires", "%s", text)
	}
}
