package archtest

import (
	"fmt"
	"slices"
	"strings"
)

// Depguard renders the house as the rules of golangci-lint's depguard, the lines below "rules:" of
// .golangci.yml. They cover code, not tests, whose additional freedoms Check alone knows.
//
// depguard compares an import with no more than one entry of a list, the last that does not sort
// after it. So each rule denies one prefix, what it allows again are whole paths, or folders with a
// closing slash, and no entry lies within another.
func (h House) Depguard() string {
	var out strings.Builder
	for _, rule := range h.depguardRules() {
		fmt.Fprintf(&out, "        %s:\n          list-mode: %s\n          files: %s\n", rule.name, rule.mode, flow(rule.files))
		if len(rule.allow) > 0 {
			fmt.Fprintf(&out, "          allow: %s\n", flow(rule.allow))
		}
		if rule.deny != "" {
			fmt.Fprintf(&out, "          deny: [{pkg: %q, desc: %q}]\n", rule.deny, "docs/architecture.md, Who may import whom")
		}
	}
	return out.String()
}

// depguardRule is one rule of depguard. All rules that match a file must let an import pass.
type depguardRule struct {
	name  string
	mode  string // lax: only deny is refused, but for allow; strict: only allow passes
	files []string
	allow []string
	deny  string
}

func (h House) depguardRules() []depguardRule {
	var rules []depguardRule
	for _, room := range h.Rooms {
		if slices.Contains(room.Uses, everything) {
			continue
		}
		name, files := ruleName(room.Path), h.filesOf(room)
		if room.Modules == nil {
			rules = append(rules, depguardRule{name: name, mode: "lax", files: files, allow: h.allowed(room), deny: h.Module + "/"})
		} else {
			allow := slices.Concat([]string{"$gostd"}, h.allowed(room), room.Modules)
			rules = append(rules, depguardRule{name: name, mode: "strict", files: files, allow: allow})
		}
		for _, ban := range room.Bans {
			rules = append(rules, depguardRule{name: name + "-without-" + ruleName(ban), mode: "lax", files: files, deny: ban})
		}
		for _, below := range h.roomsBelow(room) {
			// The room's own entry covers that folder as well; what lies below its top stays private.
			deny := h.Module + "/" + below.Path
			if slices.Contains(room.Uses, below.Path) {
				deny += "/"
			}
			rules = append(rules, depguardRule{name: name + "-without-" + ruleName(below.Path), mode: "lax", files: files, deny: deny})
		}
	}
	for _, guard := range h.Guards {
		files := []string{"!$test", "$all"}
		for _, folder := range guard.In {
			files = append(files, "!"+filesBelow(folder))
		}
		name := "only-" + ruleName(guard.In[0]) + "-has-" + ruleName(guard.Import)
		rules = append(rules, depguardRule{name: name, mode: "lax", files: files, deny: guard.Import})
	}
	return rules
}

// filesOf returns depguard's patterns for the code of a room.
func (h House) filesOf(room Room) []string {
	if room.Path == "." {
		return []string{"!$test", "${config-path}/*.go"}
	}
	files := []string{"!$test", filesBelow(room.Path)}
	for _, below := range h.roomsBelow(room) {
		files = append(files, "!"+filesBelow(below.Path))
	}
	return files
}

// roomsBelow returns the rooms in folders below a room's own.
func (h House) roomsBelow(room Room) []Room {
	var below []Room
	for _, other := range h.Rooms {
		if other.Path != room.Path && isWithin(other.Path, room.Path) {
			below = append(below, other)
		}
	}
	return below
}

// allowed returns depguard's entries for all packages of the module that a room may import.
func (h House) allowed(room Room) []string {
	var entries []string
	if room.Path != "." {
		entries = append(entries, h.Module+"/"+room.Path+"$", h.Module+"/"+room.Path+"/")
	}
	for _, name := range room.Uses {
		entries = append(entries, h.Module+"/"+name+"$")
		if used, ok := h.roomOf(name); ok && used.Open {
			entries = append(entries, h.Module+"/"+name+"/")
		}
	}
	slices.Sort(entries)
	entries = slices.Compact(entries)
	return slices.DeleteFunc(slices.Clone(entries), func(entry string) bool {
		return slices.ContainsFunc(entries, func(folder string) bool {
			return folder != entry && strings.HasSuffix(folder, "/") && strings.HasPrefix(entry, folder)
		})
	})
}

// flow renders a YAML flow sequence.
func flow(items []string) string {
	quoted := make([]string, len(items))
	for i, item := range items {
		quoted[i] = fmt.Sprintf("%q", item)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

func filesBelow(folder string) string {
	return "${config-path}/" + folder + "/**"
}

// ruleName turns a path into a key that needs no quotes and carries no dots, which would split it.
func ruleName(path string) string {
	if path == "." {
		return "server"
	}
	return strings.NewReplacer("/", "-", ".", "-").Replace(strings.TrimPrefix(path, "internal/"))
}
