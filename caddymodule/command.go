package caddymodule

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "drm",
		Short: "Tools of the media protection plugin",
		Long:  "Tools of caddy-drm, the plugin that protects media at request time.",
		CobraFunc: func(parent *cobra.Command) {
			addCommands(parent)
			parent.SetHelpTemplate(parent.HelpTemplate() + commandDocs)
		},
	})
}

// addCommands adds all of them, with their examples, below parent.
func addCommands(parent *cobra.Command) {
	parent.AddCommand(tokenCommand(), rightsCommand(), revokeCommand(), rekeyCommand(), checkCommand(), groupsCommand(), inspectCommand(), probeCommand(), keysCommand())
	showExamples(parent, "")
}
