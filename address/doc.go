// Package address knows every URL that the gateway writes or answers.
//
// A manifest is fetched at its origin path, the clean path. Each URL that leaves in it carries one extra path element,
// the seal, and possibly a second one, the session:
//
//	/vod/demo/video/~s.<session>/~<seal>/seg_7.m4s     clean path: /vod/demo/video/seg_7.m4s
//	/vod/demo/.drm/clearkey/<seal>                     an endpoint of ours, below the directory that it belongs to
//
// Take the elements of ours out and the clean path remains: the one path from which the origin URL, the token's scope
// and the key are all decided. A seal holds everything that a node needs to serve the URL without having seen the
// manifest, and is authenticated together with the clean path that it is for. It names keys and holds none; it is the
// same for every viewer; it grants no access.
//
// The package is pure: no I/O, no clock, no configuration.
package address
