package notify

import (
	"maps"
	"slices"
	"testing"
	"text/template/parse"
)

// Needs names the data of a kind.
func Needs(kind Kind) []string {
	data, _ := needs(kind)
	return data
}

// Languages returns by language and name of a text the data that it tells, sorted.
func Languages(t *testing.T) map[string]map[string][]string {
	t.Helper()
	w, err := NewWords("https://tickets.example")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]map[string][]string{}
	for i, tag := range w.tags {
		texts := map[string][]string{}
		for _, text := range w.languages[i].Templates() {
			if text.Tree == nil || parse.IsEmptyTree(text.Root) {
				continue // the file around them
			}
			named := map[string]bool{}
			dataOf(text.Root, named)
			texts[text.Name()] = slices.Sorted(maps.Keys(named))
		}
		all[tag.String()] = texts
	}
	return all
}

// dataOf notes the data that a part of a template names.
func dataOf(node parse.Node, named map[string]bool) {
	switch node := node.(type) {
	case *parse.ListNode:
		if node != nil {
			for _, part := range node.Nodes {
				dataOf(part, named)
			}
		}
	case *parse.ActionNode:
		dataOf(node.Pipe, named)
	case *parse.TemplateNode:
		dataOf(node.Pipe, named)
	case *parse.IfNode:
		dataOf(node.Pipe, named)
		dataOf(node.List, named)
		dataOf(node.ElseList, named)
	case *parse.PipeNode:
		for _, command := range node.Cmds {
			for _, argument := range command.Args {
				dataOf(argument, named)
			}
		}
	case *parse.FieldNode:
		named[node.Ident[0]] = true
	}
}
