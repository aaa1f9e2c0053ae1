package player

import (
	_ "embed"
	"fmt"
	"os"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

//go:embed page.html
var pageHTML []byte

//go:embed page.js
var pageJS []byte

// pageFile is a file that the harness answers below /.player/.
type pageFile struct {
	contentType string
	body        []byte
}

const javascript = "text/javascript; charset=utf-8"

// loadPageFiles returns the page and the player bundles by their name below /.player/. The builds are those whose
// errors have names.
func loadPageFiles() (map[string]pageFile, error) {
	files := map[string]pageFile{
		"index.html": {"text/html; charset=utf-8", pageHTML},
		"page.js":    {javascript, pageJS},
	}
	for name, bundle := range map[string]string{
		"shaka.js": "shaka-player/dist/shaka-player.compiled.debug.js",
		"dash.js":  "dashjs/dist/modern/umd/dash.all.min.js",
		"hls.js":   "hls.js/dist/hls.js",
		"video.js": "video.js/dist/video.min.js",

		"videojs-contrib-eme.js": "videojs-contrib-eme/dist/videojs-contrib-eme.min.js",
	} {
		path, err := testtools.NodeModule(bundle)
		if err != nil {
			return nil, err
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading player bundle: %w", err)
		}
		files[name] = pageFile{javascript, body}
	}
	return files, nil
}
