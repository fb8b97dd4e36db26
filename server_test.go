package main

import (
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"marquee/internal/app"
)

// TestCommands has every command that the help lists do something of its own, however short it may be written, and every
// other name fail with one sentence instead of serving.
func TestCommands(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&cli, kong.Vars{"version": version})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, leaf := range parser.Model.Leaves(false) {
		line := leaf.Path()
		for _, argument := range leaf.Positional {
			if line += " nora@example.com"; argument.Name == "role" {
				line = strings.TrimSuffix(line, "nora@example.com") + "ADMIN"
			}
		}
		for _, flag := range leaf.Flags {
			if flag.Required {
				line += " --" + flag.Name + "=any"
			}
		}
		lines = append(lines, line)
	}
	if len(lines) < 19 {
		t.Errorf("there are only the commands %q", lines)
	}
	for _, line := range append(lines, "", "migrate", "keys") {
		parsed, err := parser.Parse(strings.Fields(line))
		if err != nil {
			t.Errorf("marquee %s: %v", line, err)
			continue
		}
		if name := parsed.Command(); name != "keys new" && action(app.Command{}, name) == nil {
			t.Errorf("marquee %s: nothing carries out %q", line, name)
		}
	}
	for _, name := range []string{"nonsense", "Serve", "serve nonsense", ""} {
		err := run(t.Context(), name)
		if err == nil || !strings.Contains(err.Error(), "there is no command") || strings.Contains(err.Error(), "\n") {
			t.Errorf("the command %q: %v", name, err)
		}
	}
	for _, line := range []string{"nonsense", "admin nonsense", "serve nonsense"} {
		if _, err := parser.Parse(strings.Fields(line)); err == nil {
			t.Errorf("marquee %s is a command", line)
		}
	}
}
