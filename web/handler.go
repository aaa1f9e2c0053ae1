package web

import (
	"embed"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
)

//go:embed page
var pageFiles embed.FS

// contentSecurityPolicy lets the page run its own files and nothing else. Three things are wide on purpose:
// connect-src, because manifests, media and licenses may lie on any host; blob: media, which is how Media Source
// Extensions attach to a video element; and blob: workers, in which hls.js remultiplexes transport streams.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src *; media-src 'self' blob:; worker-src blob:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Handler serves the page at "/" and its files below. Mount it under any prefix with http.StripPrefix: all of the page's
// URLs are relative. It answers GET and HEAD, negotiates gzip, and knows its files by name, so no path reaches a file
// system. It is safe for concurrent use and keeps about a megabyte of compressed files.
//
// Handler never fails: what Config.Validate complains about is left out of the page. Call Validate first.
func Handler(cfg Config) http.Handler {
	assets := make(map[string]*asset)
	// An embedded tree can always be walked.
	_ = fs.WalkDir(pageFiles, "page", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := pageFiles.ReadFile(name)
		if err == nil {
			assets[strings.TrimPrefix(name, "page/")] = newAsset(name, data)
		}
		return err
	})
	var offered []offeredPlayer
	if cfg.Players != nil {
		players, files, err := loadPlayers(cfg.Players)
		if err == nil {
			offered = players
			for name, file := range files {
				assets["players/"+name] = file
			}
		}
	}
	assets["config.json"] = newAsset("config.json", pageConfig(cfg, offered))
	return &handler{assets: assets}
}

type handler struct {
	assets map[string]*asset // by path below the page, without a leading slash
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setSecurityHeaders(w.Header())
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	name := r.URL.Path
	if name == "" {
		redirectToFolder(w, r)
		return
	}
	name = strings.TrimPrefix(name, "/")
	if name == "" {
		name = "index.html"
	}
	file, ok := h.assets[name]
	if !ok {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	file.serve(w, r)
}

// redirectToFolder adds the slash that the page's relative URLs need. A StripPrefix in front has removed the path that
// the client asked for, so the answer is relative too: the last element again, with a slash.
func redirectToFolder(w http.ResponseWriter, r *http.Request) {
	last := "/"
	if asked, err := url.ParseRequestURI(r.RequestURI); err == nil {
		last = path.Base(asked.Path)
	}
	switch last {
	case "/", ".", "..":
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	// "./" keeps an element with a colon from being read as a scheme.
	w.Header().Set("Location", "./"+url.PathEscape(last)+"/")
	w.WriteHeader(http.StatusPermanentRedirect)
}

func setSecurityHeaders(h http.Header) {
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// pageConfig is the file from which the page's script learns what to offer.
func pageConfig(cfg Config, offered []offeredPlayer) []byte {
	type stream struct {
		Name   string `json:"name"`
		DASH   string `json:"dash,omitempty"`
		HLS    string `json:"hls,omitempty"`
		Scheme string `json:"scheme,omitempty"`
		Group  string `json:"group,omitempty"`
		Token  bool   `json:"token,omitempty"`
		Note   string `json:"note,omitempty"`
	}
	page := struct {
		Title   string          `json:"title"`
		Streams []stream        `json:"streams"`
		Players []offeredPlayer `json:"players"`
	}{Title: cfg.Title, Streams: []stream{}, Players: offered}
	if page.Title == "" {
		page.Title = "caddy-drm"
	}
	if page.Players == nil {
		page.Players = []offeredPlayer{}
	}
	for _, s := range cfg.Streams {
		if s.validate() == nil {
			page.Streams = append(page.Streams, stream(s))
		}
	}
	// Strings and bools always marshal.
	data, _ := json.Marshal(page) //nolint:errchkjson // as said
	return data
}
