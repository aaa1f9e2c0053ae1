package caddymodule

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-drm/caddy-drm/token"
	"github.com/caddy-drm/caddy-drm/token/signedurl"
)

// addrFlag reads an address from a flag; empty is none.
func addrFlag(text string) (netip.Addr, error) {
	if text == "" {
		return netip.Addr{}, nil
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, errors.New("--ip: want an IP address")
	}
	return addr, nil
}

// vendorKeys returns the one key of --key-file as the verifiers want it, if it is good for one.
func (o *mintOptions) vendorKeys() ([][]byte, error) {
	key, err := o.key()
	if err != nil {
		return nil, err
	}
	keys := [][]byte{key}
	return keys, checkVendorKeys(keys)
}

func akamaiCommand() *cobra.Command {
	var o mintOptions
	var t signedurl.AkamaiToken
	var config signedurl.AkamaiConfig
	var ip, saltFile string
	cmd := mintCommand("akamai --key-file <file> --acl <pattern> | --url <path>", "Makes a token of the kind that `token akamai` accepts",
		`Makes an Akamai token (edge authorization 2.0) and prints it: the value of a query parameter, cookie or field named hdnts.`+keyFileNote,
		func(now time.Time) (string, error) {
			key, err := o.key()
			if err != nil {
				return "", err
			}
			if config.Keys, err = decodeHexKeys([][]byte{key}); err != nil {
				return "", err
			}
			if saltFile != "" {
				salt, err := readBounded(saltFile, maxKeyFile)
				if err != nil {
					return "", err
				}
				config.Salt = strings.TrimSpace(string(salt))
			}
			if t.Addr, err = addrFlag(ip); err != nil {
				return "", err
			}
			v, err := signedurl.NewAkamai(config)
			if err != nil {
				return "", err
			}
			t.Expires = now.Add(o.expires)
			return v.Sign(t)
		})
	flags := o.flags(cmd, "file that holds the key in hexadecimal digits")
	flags.StringSliceVar(&t.ACL, "acl", nil, "pattern of paths, for instance /vod/*; may be given several times")
	flags.StringVar(&t.Path, "url", "", "the one path that the token is for, as it stands in the URL")
	flags.StringVar(&ip, "ip", "", "the client's address")
	flags.StringVar(&t.ID, "id", "", "who the token is for")
	flags.StringVar(&t.Data, "data", "", "data for the receiver")
	flags.StringVar(&config.Hash, "hash", "sha256", "sha256, sha1 or md5")
	flags.StringVar(&saltFile, "salt-file", "", "file that holds the salt, if one is configured")
	flags.BoolVar(&config.EscapeEarly, "escape-early", false, "percent-encode values before they are signed")
	return cmd
}

func cloudFrontCommand() *cobra.Command {
	var o mintOptions
	var policy signedurl.CloudFrontPolicy
	var keyID, ip, hash string
	var cookies bool
	cmd := mintCommand("cloudfront --key-file <file> --key-id <id> --url <url>", "Signs a URL of the kind that `token cloudfront` accepts",
		`Signs a URL as CloudFront's are, and prints it. A URL with * in it, or --ip, makes a custom policy: then the parameters are printed, or
with --cookies the cookies.`+keyFileNote,
		func(now time.Time) (string, error) {
			key, err := o.key()
			if err != nil {
				return "", err
			}
			signer, err := parsePrivateKey(key)
			if err != nil {
				return "", err
			}
			if keyID == "" || hash != "sha1" && hash != "sha256" {
				return "", errors.New("want --key-id, and sha1 or sha256 for --hash")
			}
			if hasPort(policy.URL) {
				return "", errors.New("--url: want it without a port, as the gateway judges it")
			}
			if ip != "" {
				if policy.Source, err = netip.ParsePrefix(ip); err != nil {
					return "", errors.New("--ip: want a prefix, for instance 203.0.113.7/32")
				}
			}
			policy.Expires = now.Add(o.expires)
			values, err := policy.Sign(keyID, signer, hash == "sha256")
			if err != nil {
				return "", err
			}
			return printCloudFront(policy.URL, values, cookies), nil
		})
	flags := o.flags(cmd, "file that holds the private key in PEM")
	flags.StringVar(&keyID, "key-id", "", "Key-Pair-Id")
	flags.StringVar(&policy.URL, "url", "", "absolute URL without a port; * stands for any characters")
	flags.StringVar(&ip, "ip", "", "addresses of the client, for instance 203.0.113.7/32")
	flags.StringVar(&hash, "hash", "sha256", "sha1 or sha256")
	flags.BoolVar(&cookies, "cookies", false, "print cookies instead of a URL")
	return cmd
}

// hasPort reads the authority by itself: with an asterisk in it a pattern is no URL.
func hasPort(pattern string) bool {
	_, rest, _ := strings.Cut(pattern, "://")
	host, _, _ := strings.Cut(rest, "/")
	return strings.LastIndexByte(host, ':') > strings.LastIndexByte(host, ']')
}

func printCloudFront(signed string, values url.Values, cookies bool) string {
	var lines []string
	for name := range values {
		lines = append(lines, "CloudFront-"+name+"="+values.Get(name))
	}
	slices.Sort(lines)
	switch {
	case cookies:
		return strings.Join(lines, "\n")
	case strings.Contains(signed, "*"):
		return values.Encode()
	case strings.Contains(signed, "?"):
		return signed + "&" + values.Encode()
	default:
		return signed + "?" + values.Encode()
	}
}

// linkFlags reads what is known of the request that a link is for.
func linkFlags(address, ip string) (token.Request, error) {
	u, err := url.Parse(address)
	if err != nil || u.Path == "" || u.Path[0] != '/' {
		return token.Request{}, errors.New("--url: want a path, or an absolute URL")
	}
	addr, err := addrFlag(ip)
	return token.Request{
		Path: u.Path, PublicPath: u.Path, RawQuery: u.RawQuery, Host: hostName(u.Host), Scheme: u.Scheme, Addr: addr,
	}, err
}

func secureLinkCommand() *cobra.Command {
	var o mintOptions
	var config signedurl.SecureLinkConfig
	var address, ip string
	cmd := mintCommand("secure-link --key-file <file> --expression <text> --url <path>", "Makes a link of the kind that `token secure_link` accepts",
		`Makes a link as nginx's secure_link_md5 takes it, and prints it.`+keyFileNote+`
The expression is that of the configuration, with $secret where the key goes.`,
		func(now time.Time) (string, error) {
			var err error
			if config.Secrets, err = o.vendorKeys(); err != nil {
				return "", err
			}
			v, err := signedurl.NewSecureLink(config)
			if err != nil {
				return "", err
			}
			req, err := linkFlags(address, ip)
			if err != nil {
				return "", err
			}
			values, err := v.Sign(req, now.Add(o.expires))
			if err != nil {
				return "", err
			}
			return printCloudFront(address, values, false), nil
		})
	flags := o.flags(cmd, "file that holds the secret")
	flags.StringVar(&config.Expression, "expression", "$secure_link_expires$uri$remote_addr $secret", "expression of the hash")
	flags.StringVar(&config.MD5Name, "md5-name", "md5", "parameter of the hash")
	flags.StringVar(&config.ExpiresName, "expires-name", "expires", "parameter of the expiry")
	flags.StringVar(&address, "url", "", "path, or absolute URL, that the link is for")
	flags.StringVar(&ip, "ip", "", "the client's address, if the expression has $remote_addr")
	return cmd
}

func flussonicCommand() *cobra.Command {
	var o mintOptions
	var config signedurl.FlussonicConfig
	var stream, ip string
	cmd := mintCommand("flussonic --key-file <file> --stream <name> --ip <address>", "Makes a token of the kind that `token flussonic` accepts",
		`Makes a securetoken of Flussonic, and prints it. The stream of /live/ch1/index.m3u8 is live/ch1.`+keyFileNote,
		func(now time.Time) (string, error) {
			var err error
			if config.Secrets, err = o.vendorKeys(); err != nil {
				return "", err
			}
			v, err := signedurl.NewFlussonic(config)
			if err != nil {
				return "", err
			}
			if strings.Trim(stream, "/") == "" {
				return "", errors.New("--stream is required")
			}
			addr, err := addrFlag(ip)
			if err != nil {
				return "", err
			}
			return v.Sign(stream, addr, now, now.Add(o.expires), "")
		})
	flags := o.flags(cmd, "file that holds the key of securetoken://")
	flags.StringVar(&stream, "stream", "", "name of the stream")
	flags.StringVar(&ip, "ip", "", "the client's address")
	flags.BoolVar(&config.NoCheckIP, "no-check-ip", false, "leave the client's address out")
	return cmd
}

func bunnyCommand() *cobra.Command {
	var o mintOptions
	var b signedurl.BunnyToken
	var ip string
	cmd := mintCommand("bunny --key-file <file> --url <path>", "Signs a URL of the kind that `token bunny` accepts",
		`Signs a path as bunny.net's advanced token authentication does, with HMAC-SHA-256, and prints it.`+keyFileNote,
		func(now time.Time) (string, error) {
			keys, err := o.vendorKeys()
			if err != nil {
				return "", err
			}
			if b.Addr, err = addrFlag(ip); err != nil {
				return "", err
			}
			v, err := signedurl.NewBunny(signedurl.BunnyConfig{Keys: keys})
			if err != nil {
				return "", fmt.Errorf("--key-file: %w", err)
			}
			b.Expires = now.Add(o.expires)
			return v.Sign(b)
		})
	flags := o.flags(cmd, "file that holds the token authentication key")
	flags.StringVar(&b.Path, "url", "", "path that is signed")
	flags.StringVar(&b.Dir, "directory", "", "directory below which the token holds, for instance /vod/demo/")
	flags.BoolVar(&b.InPath, "in-path", false, "put the token into the path")
	flags.StringVar(&ip, "ip", "", "the client's address")
	flags.StringSliceVar(&b.Allow, "country", nil, "country where the token may be used; may be given several times")
	flags.StringSliceVar(&b.Block, "block-country", nil, "country where it may not; may be given several times")
	return cmd
}
