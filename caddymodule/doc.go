// Package caddymodule connects the rest of the plugin to Caddy: to configurations, requests, origins, files and other servers. No other
// package knows Caddy, and what can be decided without it is decided in them.
//
// # Where to begin
//
// [Handler.ServeHTTP] in handler.go is the life of a request: what is asked for (classify.go), who asks (viewer.go, credentials.go,
// session.go), whether that is allowed (site.go hands it to the package policy), and one function for each kind of answer (serve_….go), which
// takes clear bytes from the handlers behind (origin.go, recorder.go) and protects them (protect_….go). Whatever goes wrong becomes an answer
// in httperror.go, by one table. [App] in app.go is what all sites share, lifecycle.go how a site comes and goes with its configuration.
//
// # What is where
//
// Files are named by their subject first: rights_http.go is of rights, and all about rights begins with it.
//
// The configuration:
//   - caddyfile, position: the directive, the global block, and how options of blocks are read; where a block stands
//   - app, config, secrets, pattern: the global options, those of tokens, placeholders of secrets, patterns of paths
//   - lifecycle, site, title: provisioning and cleaning up; what is derived for a tenant; which DRM group and keys a title has
//   - clock: the time, which tests set
//
// A request:
//   - handler, classify, public: the sentence; clean paths, seals and methods; the address as the player sees it
//   - viewer, credentials, session, conditions, renew: who asks, where credentials stand, sessions and what they carry, new tokens
//   - explain, routewalk, observe: decisions that are asked for and not served, the way of a URL to its site, sites that only look
//   - serve: one file for each kind of answer: manifests, media, segments, those in memory, sidecars, licenses, configurations of players
//   - origin, recorder, buffers: clear bytes from the handlers behind, into pooled memory
//   - representation, manifest, cors, delivery: ETags, ranges and conditions; a manifest apart from its viewer; CORS; behind a CDN
//   - httperror: status and reason of every refusal and failure
//
// Protection:
//   - protect: what the rewriters of manifests ask, tracks, signals and pssh boxes, segments; what passes and what a level leaves out
//   - rotation, clearlead: crypto periods, emergency re-keys, Periods of live MPDs; what stays clear at the beginning
//   - groups: DRM groups
//   - keysource, keysources: modules that have content keys, and how key servers are asked
//   - keyserver: the handler that is such a server for others
//   - license: license servers and vendors, who is let through, what is on record, audits
//
// Who may watch:
//   - verifier, verifiers, jwks: modules that know a kind of token; key sets that are fetched
//   - entitlement: the operator's backend
//   - geo, match: databases, rules and places; the matcher
//   - rights: catalogs, where they come from, and their headers
//   - limits: rates and concurrent streams
//   - state: what nodes share, in memory or in Redis
//
// Around it:
//   - memory, caches: what is kept, and the one budget of the process
//   - metrics, outages, logfilter: what operators see, also of servers that do not answer, and what logs do not
//   - admin, command: the admin API, and `caddy drm …`
//   - player: the page
//
// # Tests
//
// They run whole gateways: gateway_test.go begins one from the text of a Caddyfile, on origins, clocks and backends of the test's own.
// adapt_test.go compares testdata/adapt with what the Caddyfile becomes.
package caddymodule
