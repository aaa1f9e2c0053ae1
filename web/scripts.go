package web

import (
	"encoding/json"
	"fmt"
	"io/fs"
)

// offeredPlayer is one player as the page's script sees it.
type offeredPlayer struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Version string `json:"version"`
	License string `json:"license"`
	URL     string `json:"url"`
	Notice  string `json:"notice"`
}

// listedPlayer is one player as players.json lists it. File is stored with ".gz" appended, Notice as it is.
type listedPlayer struct {
	ID, Name, Version, License, Notice, File string
}

// loadPlayers reads players.json and every file that it names. It returns the players in the order of players.json,
// and the scripts and license texts by name.
func loadPlayers(fsys fs.FS) ([]offeredPlayer, map[string]*asset, error) {
	raw, err := fs.ReadFile(fsys, "players.json")
	if err != nil {
		return nil, nil, fmt.Errorf("reading the players: %w", err)
	}
	var listed []listedPlayer
	if err := json.Unmarshal(raw, &listed); err != nil {
		return nil, nil, fmt.Errorf("parsing players.json: %w", err)
	}
	offered := make([]offeredPlayer, 0, len(listed))
	files := make(map[string]*asset, 2*len(listed))
	for _, p := range listed {
		script, notice, err := loadPlayer(fsys, p)
		if err != nil {
			return nil, nil, fmt.Errorf("reading player %q: %w", p.ID, err)
		}
		files[p.File], files[p.Notice] = script, notice
		offered = append(offered, offeredPlayer{
			ID: p.ID, Name: p.Name, Version: p.Version, License: p.License,
			URL: "players/" + p.File + "?v=" + script.digest, Notice: "players/" + p.Notice,
		})
	}
	return offered, files, nil
}

// loadPlayer reads one player's script and license text. The licenses of all three ask that their text goes along.
func loadPlayer(fsys fs.FS, p listedPlayer) (script, notice *asset, err error) {
	gzipped, err := fs.ReadFile(fsys, p.File+".gz")
	if err != nil {
		return nil, nil, fmt.Errorf("reading the script: %w", err)
	}
	if script, err = newGzippedAsset(p.File, gzipped); err != nil {
		return nil, nil, err
	}
	text, err := fs.ReadFile(fsys, p.Notice)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the license: %w", err)
	}
	return script, newAsset(p.Notice, text), nil
}
