package caddymodule

import (
	"os"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/certmagic"
)

func init() { caddy.RegisterModule(new(sharedStorage)) }

// sharedStorage stands for the storages that nodes share, which are none of files.
type sharedStorage struct{}

// CaddyModule returns the module's registration.
func (*sharedStorage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.storage.test_shared", New: func() caddy.Module { return new(sharedStorage) }}
}

// CertMagicStorage implements caddy.StorageConverter.
func (*sharedStorage) CertMagicStorage() (certmagic.Storage, error) {
	return struct{ certmagic.Storage }{&certmagic.FileStorage{Path: filepath.Join(os.TempDir(), "caddy-drm-test-storage")}}, nil
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler.
func (*sharedStorage) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return nil
}
