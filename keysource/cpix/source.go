package cpix

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
)

// SourceOptions say how documents answer for titles.
type SourceOptions struct {
	Parse ParseOptions
	// Scheme is the scheme of keys that name none. Without it such keys are an error.
	Scheme drm.ProtectionScheme
	// Split asks for one key per track class.
	Split bool
	// Generation is that of the documents, unless their URL holds it. Other generations have no key: one that leaked never serves on.
	Generation uint32
	// ContentID is what @contentId of a document has to be, if it has text.
	ContentID keysource.Template
}

// Bundle returns the keys of a title from a document, with their signals. It is keysource.ErrUnknownKey if there are none.
func (d *Document) Bundle(t keysource.Title, o SourceOptions) (keysource.Bundle, error) {
	if want := o.ContentID.Expand(t, nil); want != "" && d.ContentID != want {
		return keysource.Bundle{}, errors.New("the document is about other content: @contentId differs")
	}
	bundle := keysource.Bundle{Keys: make(map[drm.TrackClass]drm.ContentKey)}
	for _, class := range keysource.Classes(o.Split) {
		k, err := d.Select(Question{Class: class, Scheme: t.Scheme, Period: t.Period})
		switch {
		case errors.Is(err, ErrNoKey):
			continue
		case err != nil:
			return keysource.Bundle{}, fmt.Errorf("choosing the key for class %s: %w", class, err)
		case k.Content.IsZero():
			return keysource.Bundle{}, fmt.Errorf("key %s has no value", k.KID)
		case k.Scheme == 0 && o.Scheme == 0:
			return keysource.Bundle{}, fmt.Errorf("key %s names no scheme, and none is configured", k.KID)
		case k.Scheme == 0 && o.Scheme != t.Scheme:
			continue
		}
		bundle.Keys[class] = k.Content
	}
	if len(bundle.Keys) == 0 {
		return keysource.Bundle{}, keysource.ErrUnknownKey
	}
	for _, s := range d.Systems {
		if !s.IsEmpty() {
			bundle.Signals = append(bundle.Signals, s.Signal)
		}
	}
	return bundle, nil
}

// IsSplit reports whether a document has more than one key for the tracks of a title: what Split has to be for it.
func (d *Document) IsSplit() bool {
	periods := []uint32{0}
	for _, p := range d.Periods {
		periods = append(periods, p.Index)
	}
	for _, scheme := range drm.AllSchemes {
		for _, period := range periods {
			var first drm.KID
			for i, class := range drm.SplitClasses {
				k, err := d.Select(Question{class, scheme, period})
				if err != nil && !errors.Is(err, ErrNoKey) {
					return true // what exactly is wrong is told when a key is needed
				}
				if i == 0 {
					first = k.KID
				} else if k.KID != first {
					return true
				}
			}
		}
	}
	return false
}

// File is the source of one document, which serves every title.
type File struct {
	document *Document
	options  SourceOptions
}

var _ keysource.Fetcher = (*File)(nil)

// NewFile reads a document that is at hand. Its keys all need values.
func NewFile(data []byte, options SourceOptions) (*File, error) {
	d, err := Parse(data, options.Parse)
	if err != nil {
		return nil, err
	}
	if len(d.Keys) == 0 {
		return nil, errors.New("reading CPIX document: it has no keys")
	}
	for _, k := range d.Keys {
		if k.Content.IsZero() {
			return nil, fmt.Errorf("reading CPIX document: key %s has no value", k.KID)
		}
		if k.Scheme == 0 && options.Scheme == 0 {
			return nil, fmt.Errorf("reading CPIX document: key %s names no scheme, and none is configured", k.KID)
		}
	}
	options.Split = d.IsSplit()
	return &File{document: d, options: options}, nil
}

// Split implements keysource.Fetcher: whether the document has several keys per title.
func (f *File) Split() bool { return f.options.Split }

// Fetch implements keysource.Fetcher. It never blocks.
func (f *File) Fetch(_ context.Context, t keysource.Title) (keysource.Bundle, error) {
	if t.Generation != f.options.Generation {
		return keysource.Bundle{}, keysource.ErrUnknownKey
	}
	return f.document.Bundle(t, f.options)
}

// Format keeps every verb from reaching the fields.
func (f *File) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "CPIX document") }

// Remote is the source of documents that a server has at a URL, one for each title or one for many.
type Remote struct {
	transport keysource.Transport
	url       keysource.Template
	now       func() time.Time
	options   SourceOptions
}

var _ keysource.Fetcher = (*Remote)(nil)

// NewRemote asks with GET. What url puts in for a title is escaped, so that it stays one element of the path or one value of the query.
func NewRemote(transport keysource.Transport, url keysource.Template, now func() time.Time, options SourceOptions) *Remote {
	return &Remote{transport: transport, url: url, now: now, options: options}
}

// Split implements keysource.Fetcher.
func (r *Remote) Split() bool { return r.options.Split }

// Fetch implements keysource.Fetcher.
func (r *Remote) Fetch(ctx context.Context, t keysource.Title) (keysource.Bundle, error) {
	if !r.url.Names("generation") && t.Generation != r.options.Generation {
		return keysource.Bundle{}, keysource.ErrUnknownKey
	}
	response, err := keysource.Exchange(ctx, r.transport, keysource.HTTPRequest{
		Method: "GET", URL: r.url.ExpandURL(t), Header: map[string]string{"Accept": "application/xml, text/xml"},
	})
	if err != nil {
		return keysource.Bundle{}, err
	}
	options := r.options
	options.Parse.Now = r.now()
	d, err := Parse(response.Body, options.Parse)
	if err != nil {
		return keysource.Bundle{}, err
	}
	return d.Bundle(t, options)
}

// Format keeps every verb from reaching the fields.
func (r *Remote) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "CPIX documents of a server") }
