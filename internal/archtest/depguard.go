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
// after it. So each rule denies one prefix, and what it allows again are whole paths, or folders
// with a closing slash.
func (h House) Depguard() string {
	var out strings.Builder
	for _, room := range h.Rooms {
		if slices.Contains(room.Uses, everything) {
			continue
		}
		name := ruleName(room.Path)
		if room.Modules == nil {
			h.writeRule(&out, name, h.filesOf(room), h.allowed(room), h.Module+"/")
		} else {
			h.writeStrictRule(&out, name, h.filesOf(room), append(h.allowed(room), room.Modules...))
		}
		for _, ban := range room.Bans {
			h.writeRule(&out, name+"-without-"+ruleName(ban), h.filesOf(room), nil, ban)
		}
	}
	for _, guard := range h.Guards {
		files := []string{"!$test", "$all"}
		for _, folder := range guard.In {
			files = append(files, "!"+filesBelow(folder))
		}
		h.writeRule(&out, "only-"+ruleName(guard.In[0])+"-has-"+ruleName(guard.Import), files, nil, guard.Import)
	}
	return out.String()
}

// filesOf returns depguard's patterns for the code of a room.
func (h House) filesOf(room Room) []string {
	if room.Path == "." {
		return []string{"!$test", "${config-path}/*.go"}
	}
	files := []string{"!$test", filesBelow(room.Path)}
	for _, other := range h.Rooms {
		if other.Path != room.Path && isWithin(other.Path, room.Path) {
			files = append(files, "!"+filesBelow(other.Path))
		}
	}
	return files
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
	return slices.Compact(entries)
}

func (h House) writeRule(out *strings.Builder, name string, files, allow []string, deny string) {
	fmt.Fprintf(out, "        %s:\n          list-mode: lax\n          files: %s\n", name, flow(files))
	if len(allow) > 0 {
		fmt.Fprintf(out, "          allow: %s\n", flow(allow))
	}
	fmt.Fprintf(out, "          deny: [{pkg: %q, desc: %q}]\n", deny, "docs/architecture.md, section 3")
}

func (h House) writeStrictRule(out *strings.Builder, name string, files, allow []string) {
	fmt.Fprintf(out, "        %s:\n          list-mode: strict\n          files: %s\n          allow: %s\n",
		name, flow(files), flow(append([]string{"$gostd"}, allow...)))
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
