package caddymodule

import (
	"bytes"
	"fmt"
	"io"
	"net/http"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/pflag"
)

// adminOptions say where the admin API of a running gateway is.
type adminOptions struct{ address, config, adapter string }

func (o *adminOptions) flags(flags *pflag.FlagSet) {
	flags.StringVar(&o.address, "address", "", "address of the admin API, if it is not the default one")
	flags.StringVarP(&o.config, "config", "c", "", "configuration to find the address of the admin API in")
	flags.StringVarP(&o.adapter, "adapter", "a", "", "adapter of that configuration")
}

// send asks the admin API and prints what it says.
func (o adminOptions) send(out io.Writer, method, path string, body []byte) error {
	address, err := caddycmd.DetermineAdminAPIAddress(o.address, nil, o.config, o.adapter)
	if err != nil {
		return fmt.Errorf("finding the admin API: %w", err)
	}
	response, err := caddycmd.AdminAPIRequest(address, method, path, http.Header{"Content-Type": {"application/json"}}, bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(out, response.Body); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	return nil
}
