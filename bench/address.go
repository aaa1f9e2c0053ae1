package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// mpd is what we read of a manifest: where each Representation's segments are.
type mpd struct {
	Sets []struct {
		Representations []struct {
			ID       string `xml:"id,attr"`
			BaseURL  string `xml:"BaseURL"`
			Template struct {
				Media string `xml:"media,attr"`
			} `xml:"SegmentTemplate"`
		} `xml:"Representation"`
	} `xml:"Period>AdaptationSet"`
}

// mediaTemplate returns the URL of a Representation's segments with $Number$ left in it, resolved against the manifest's.
func mediaTemplate(manifest []byte, at, representation string) (string, error) {
	var m mpd
	if err := xml.Unmarshal(manifest, &m); err != nil {
		return "", fmt.Errorf("parsing the manifest: %w", err)
	}
	base, err := url.Parse(at)
	if err != nil {
		return "", err
	}
	for _, set := range m.Sets {
		for _, r := range set.Representations {
			if r.ID != representation {
				continue
			}
			if base, err = base.Parse(r.BaseURL); err != nil {
				return "", err
			}
			resolved, err := base.Parse(strings.ReplaceAll(r.Template.Media, "$RepresentationID$", r.ID))
			if err != nil {
				return "", err
			}
			return resolved.String(), nil
		}
	}
	return "", fmt.Errorf("the manifest has no Representation %q", representation)
}

// template asks a server for the manifest of dir, with a token if there is one, and returns where the segments are, with $Number$
// left in it.
func template(ctx context.Context, base, dir, representation, token string) (string, error) {
	at := base + "/" + dir + "/manifest.mpd"
	if token != "" {
		at += "?token=" + token
	}
	manifest, err := fetch(ctx, at)
	if err != nil {
		return "", err
	}
	return mediaTemplate(manifest, at, representation)
}

func withNumber(template string, n segment) string {
	return strings.ReplaceAll(template, "$Number$", strconv.Itoa(n.number))
}

// numbered returns the paths of segments without asking for them.
func numbered(ctx context.Context, base, dir string, numbers []segment) (paths []string, err error) {
	address, err := template(ctx, base, dir, video, "")
	if err != nil {
		return nil, err
	}
	for _, n := range numbers {
		paths = append(paths, strings.TrimPrefix(withNumber(address, n), base))
	}
	return paths, nil
}

// open asks a server for the manifest of dir, then once for every segment, and returns the resource that they are. Every
// answer must be 200, and a gateway's not the clear file.
func open(ctx context.Context, base, dir, representation string, numbers []segment, protected bool) (resource, error) {
	return openAs(ctx, "", base, dir, representation, numbers, protected)
}

// openAs is open for the holder of a token.
func openAs(ctx context.Context, token, base, dir, representation string, numbers []segment, protected bool) (resource, error) {
	segmentURL, err := template(ctx, base, dir, representation, token)
	if err != nil {
		return resource{}, err
	}
	res := resource{base: base}
	total := 0
	for _, n := range numbers {
		address := withNumber(segmentURL, n)
		body, err := fetch(ctx, address)
		if err != nil {
			return resource{}, err
		}
		if isProtected := bytes.Contains(body[:min(len(body), 64<<10)], []byte("senc")); isProtected != protected {
			return resource{}, fmt.Errorf("%s: protected is %t, want %t", dir, isProtected, protected)
		}
		total += len(body)
		res.paths = append(res.paths, strings.TrimPrefix(address, base))
	}
	if len(res.paths) == 0 {
		return resource{}, errors.New("no segments")
	}
	res.meanSize = float64(total) / float64(len(res.paths))
	return res, nil
}

func fetch(ctx context.Context, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	return do(request)
}

// do sends a request whose answer must be 200, and returns its body.
func do(request *http.Request) ([]byte, error) {
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: %s", errNotServed, response.Status)
	}
	return body, nil
}
