// Package player drives real web players in a real browser and says which frame of which rendition they show.
//
// A test starts one Browser, plays URLs with shaka-player, dash.js, hls.js or Video.js, and asserts on pictures:
//
//	browser, err := player.Start(ctx)
//	defer browser.Close()
//	session, err := browser.Play(ctx, player.Options{Player: player.Shaka, URL: origin + "/demo/manifest.mpd"})
//	defer session.Close()
//	picture, err := session.SeekAndRead(ctx, 5.6) // picture.Frame == 140, picture.Corners == true
//	err = session.SwitchVideo(ctx, 180)
//	result, err := session.Result(ctx)            // keys, license requests, segment requests, decoded bytes
//
// Pictures are read from screenshots: a canvas stays empty once a content decryption module is attached, so a screenshot
// is the only proof that something was decrypted. The titles in testdata carry a barcode of the frame index and four
// solid corners for this purpose (see testdata/README.md).
//
// The page and the players are not served by any server: the harness answers requests below /.player/ of the tested
// origin inside the browser. So the page has the origin of the manifest, and the tested server sees nothing but the
// player's own requests. With Options.CrossOrigin the page has another origin, and the server must allow it by CORS.
//
// Only Clear Key (org.w3.clearkey) is available in Chromium without a proprietary module. URLs must be https, or http on
// 127.0.0.1 or localhost: elsewhere a page has no EME. scripts/test-tools.sh installs the browser and the players.
package player
