// Package archtest keeps the import rules of docs/architecture.md, "Who may import whom".
//
// The rules stand once, as the table in Marquee. The test of this package holds every import of the
// module against it, so that the walls stand without a linter, and keeps the depguard rules in
// .golangci.yml equal to it, so that an editor shows a breach while it is typed. The package judges
// imports only; it never reads what is done with them.
package archtest

import (
	"fmt"
	"slices"
	"strings"
)

// Edge is one import.
type Edge struct {
	// From is the import path of the importing package, which belongs to the module.
	From string
	// To is the import path of the imported one, from anywhere.
	To string
	// Test is set when only tests of From import To.
	Test bool
}

// Check returns a sentence for each edge that the house forbids and for each importing package
// without a room, each once, in the order of the edges. Standard packages are allowed to all
// unless a room bans them.
func (h House) Check(edges []Edge) []string {
	var breaches []string
	for _, edge := range edges {
		if breach := h.breach(edge); breach != "" && !slices.Contains(breaches, breach) {
			breaches = append(breaches, breach)
		}
	}
	return breaches
}

// HasRoom reports whether a package of the module stands in a room.
func (h House) HasRoom(importPath string) bool {
	folder, ok := h.folder(importPath)
	if !ok {
		return false
	}
	_, ok = h.roomOf(folder)
	return ok
}

// breach says what is wrong with an edge, or nothing.
func (h House) breach(edge Edge) string {
	from, ok := h.folder(edge.From)
	if !ok {
		return fmt.Sprintf("%s is no package of the module %s", edge.From, h.Module)
	}
	room, ok := h.roomOf(from)
	if !ok {
		return fmt.Sprintf("%s is in no room of the house: give it one in the table of internal/archtest", from)
	}
	for _, ban := range room.Bans {
		if isWithin(edge.To, ban) {
			return fmt.Sprintf("%s may not import %s, nor may its tests", from, edge.To)
		}
	}
	for _, guard := range h.Guards {
		if isWithin(edge.To, guard.Import) && !guard.admits(from, edge.Test) {
			return fmt.Sprintf("%s may not import %s, which is kept to %s", from, edge.To, strings.Join(guard.In, ", "))
		}
	}
	if to, ok := h.folder(edge.To); ok {
		return h.breachWithin(room, from, to, edge.Test)
	}
	if room.Modules != nil && !edge.Test && isThirdParty(edge.To) && !slices.ContainsFunc(room.Modules, func(module string) bool {
		return isWithin(edge.To, module)
	}) {
		return fmt.Sprintf("%s may not import %s, nor any module that its room does not name", from, edge.To)
	}
	return ""
}

// breachWithin judges an import of one package of the module, in the folder to, by another.
func (h House) breachWithin(room Room, from, to string, test bool) string {
	target, ok := h.roomOf(to)
	if !ok {
		return fmt.Sprintf("%s is in no room of the house: give it one in the table of internal/archtest", to)
	}
	if target.Path == room.Path || slices.Contains(room.Uses, everything) {
		return ""
	}
	usable := room.Uses
	if test {
		usable = slices.Concat(room.Uses, room.TestsUse, h.TestSupport)
	}
	if !slices.Contains(usable, target.Path) {
		return fmt.Sprintf("%s may not import %s", from, to)
	}
	if to != target.Path && !target.Open {
		return fmt.Sprintf("%s may not import %s, which is private to %s", from, to, target.Path)
	}
	return ""
}

// folder returns the folder of a package of the module, relative to its root.
func (h House) folder(importPath string) (string, bool) {
	if importPath == h.Module {
		return ".", true
	}
	return strings.CutPrefix(importPath, h.Module+"/")
}

// roomOf returns the innermost room around a folder.
func (h House) roomOf(folder string) (Room, bool) {
	var innermost Room
	found := false
	for _, room := range h.Rooms {
		if !isWithin(folder, room.Path) {
			continue
		}
		if !found || len(room.Path) > len(innermost.Path) {
			innermost, found = room, true
		}
	}
	return innermost, found
}

// admits reports whether code, or tests, in a folder may import what is guarded.
func (g Guard) admits(folder string, test bool) bool {
	isAround := func(outer string) bool { return outer == "." || isWithin(folder, outer) }
	return slices.ContainsFunc(g.In, isAround) || test && slices.ContainsFunc(g.TestsIn, isAround)
}

// isWithin reports whether a path is outer or lies below it.
func isWithin(path, outer string) bool {
	below, ok := strings.CutPrefix(path, outer)
	return ok && (below == "" || below[0] == '/')
}

// isThirdParty tells a module's package from a standard one, whose first element has no dot.
func isThirdParty(importPath string) bool {
	host, _, _ := strings.Cut(importPath, "/")
	return strings.Contains(host, ".")
}
