package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/cmd/applock/internal/database"
)

func (p *program) keyCommand() *cobra.Command {
	var asJSON, shared bool
	c := &cobra.Command{
		Use:   "key NAME",
		Short: "Show what databases call a lock, and how other programs take it",
		Long: "key shows what each database calls a lock, and what takes the same lock from\n" +
			"another language. It connects to none.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, names []string) error {
			// The library looks at the name before it misses the database.
			if _, err := applock.Inspect(c.Context(), nil, names...); errors.Is(err, applock.ErrName) {
				return classify(err)
			}
			mode := applock.ModeExclusive
			if shared {
				mode = applock.ModeShared
			}
			address, err := p.named()
			if err != nil {
				return err
			}
			recipes, err := database.Recipes(address, names[0], mode)
			if err != nil {
				return classify(err)
			}
			if asJSON {
				return writeJSON(p.stdout, recipes)
			}
			for i, r := range recipes {
				if i > 0 {
					fmt.Fprintln(p.stdout)
				}
				fmt.Fprintf(p.stdout, "%s %s: %s\n%s\n", r.Product, r.What, printable(r.Key), indented(r.Code))
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVar(&shared, "shared", false, "show how it is shared")
	return c
}

// indented sets a program off from the text around it.
func indented(code string) string {
	return "  " + strings.ReplaceAll(code, "\n", "\n  ")
}
