// Package redistest starts real redis-server processes for tests: one server, sentinels with a primary and a replica, a cluster,
// and a server with TLS and an ACL. They listen on free ports of the loopback interface and keep their files in a folder of the
// test. A server can be killed, frozen, thawed and started again, and a Proxy cuts the way to it. Only tests and bench import it.
//
// redis-server comes with scripts/test-tools.sh, or is named by CADDY_DRM_REDIS; Valkey's server does as well.
package redistest
