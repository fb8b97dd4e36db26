package archtest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"marquee/internal/archtest"
)

var update = flag.Bool("update", false, "rewrite the depguard rules in .golangci.yml")

const (
	moduleRoot = "../.."
	lintConfig = moduleRoot + "/.golangci.yml"
	rulesBegin = "        # The rules of internal/archtest begin.\n"
	rulesEnd   = "        # The rules of internal/archtest end.\n"
)

func TestHouse_Stands(t *testing.T) {
	t.Parallel()
	house := archtest.Marquee()
	packages, edges := listModule(t)
	if len(packages) < 10 || len(edges) < 50 {
		t.Fatalf("go list shows %d packages with %d imports, too few to be this module", len(packages), len(edges))
	}
	for _, pkg := range packages {
		if !house.HasRoom(pkg) {
			t.Errorf("%s is in no room of the house: give it one in the table of internal/archtest", pkg)
		}
	}
	for _, breach := range house.Check(edges) {
		t.Error(breach)
	}
}

// An editor that runs the linter must show the same rules as the test above.
func TestHouse_DepguardRules(t *testing.T) {
	t.Parallel()
	config, err := os.ReadFile(lintConfig)
	if err != nil {
		t.Fatalf("read the linter's configuration: %v", err)
	}
	before, rest, ok := strings.Cut(string(config), rulesBegin)
	rules, after, closed := strings.Cut(rest, rulesEnd)
	if !ok || !closed {
		t.Fatalf("%s lacks the lines %q and %q", lintConfig, rulesBegin, rulesEnd)
	}

	want := archtest.Marquee().Depguard()
	if *update {
		err := os.WriteFile(lintConfig, []byte(before+rulesBegin+want+rulesEnd+after), 0o644)
		if err != nil {
			t.Fatalf("write the linter's configuration: %v", err)
		}
		return
	}
	if rules != want {
		t.Errorf("the depguard rules in .golangci.yml are not those of the table; " +
			"run: go test ./internal/archtest -run DepguardRules -update")
	}
}

// Every room that a rule names must exist in the table, or the rule silently allows nothing.
func TestHouse_NamesItsOwnRooms(t *testing.T) {
	t.Parallel()
	house := archtest.Marquee()
	paths := make(map[string]bool)
	for _, room := range house.Rooms {
		if paths[room.Path] {
			t.Errorf("%s is in the table twice", room.Path)
		}
		paths[room.Path] = true
	}
	for _, room := range house.Rooms {
		for _, name := range slices.Concat(room.Uses, room.TestsUse) {
			if name != "*" && !paths[name] {
				t.Errorf("%s may import %s, which is no room", room.Path, name)
			}
		}
	}
	for _, name := range house.TestSupport {
		if !paths[name] {
			t.Errorf("test support names %s, which is no room", name)
		}
	}
}

// Each row is an edge and the part of the sentence that must refuse it; no part means that the
// edge must pass.
func TestHouse_Check(t *testing.T) {
	t.Parallel()
	const test = true
	for name, row := range map[string]struct {
		from, to string
		test     bool
		refusal  string
	}{
		"server.go starts the app":                   {"marquee", "marquee/internal/app", !test, ""},
		"server.go skips the app":                    {"marquee", "marquee/internal/postgres", !test, "may not import"},
		"app knows everything":                       {"marquee/internal/app", "marquee/internal/bus", !test, ""},
		"app reaches below a room's top":             {"marquee/internal/app", "marquee/internal/payment/sandbox", !test, ""},
		"app leaves NATS to the bus":                 {"marquee/internal/app", "github.com/nats-io/nats.go", !test, "kept to internal/bus"},
		"graph calls a domain":                       {"marquee/graph", "marquee/internal/booking", !test, ""},
		"graph calls its own":                        {"marquee/graph", "marquee/graph/generated", !test, ""},
		"graph reads ent":                            {"marquee/graph", "marquee/ent", !test, "graph may not import ent"},
		"graph below reads ent's predicates":         {"marquee/graph/loader", "marquee/ent/movie", !test, "may not import"},
		"graph reads postgres":                       {"marquee/graph/loader", "marquee/internal/postgres", !test, "may not import"},
		"graph publishes":                            {"marquee/graph", "marquee/internal/bus", !test, "may not import"},
		"graph speaks SQL":                           {"marquee/graph", "database/sql", !test, "may not import database/sql"},
		"graph's tests speak SQL":                    {"marquee/graph", "database/sql", test, "may not import database/sql"},
		"graph's tests drive the app":                {"marquee/graph", "marquee/internal/apitest", test, ""},
		"graph drives the app":                       {"marquee/graph", "marquee/internal/apitest", !test, "may not import"},
		"a domain imports graph":                     {"marquee/internal/booking", "marquee/graph/model", !test, "may not import"},
		"an engine imports graph":                    {"marquee/internal/httpserver", "marquee/graph", !test, "may not import"},
		"booking goes downhill":                      {"marquee/internal/booking", "marquee/internal/catalog", !test, ""},
		"booking takes payment":                      {"marquee/internal/booking", "marquee/internal/payment", !test, ""},
		"booking picks a gateway":                    {"marquee/internal/booking", "marquee/internal/payment/sandbox", !test, "may not import internal/payment/sandbox"},
		"a gateway serves payment":                   {"marquee/internal/payment/sandbox", "marquee/internal/payment", !test, ""},
		"a gateway reads tables":                     {"marquee/internal/payment/razorpay", "database/sql", !test, "may not import database/sql"},
		"a thin client takes a module":               {"marquee/internal/payment/razorpay", "github.com/google/uuid", !test, "module that its room does not name"},
		"a conformance suite in production":          {"marquee/internal/booking", "marquee/internal/payment/gatewaytest", !test, "may not import"},
		"a conformance suite in tests":               {"marquee/internal/booking", "marquee/internal/payment/gatewaytest", test, ""},
		"theater goes uphill":                        {"marquee/internal/theater", "marquee/internal/showtime", !test, "may not import"},
		"catalog knows its neighbour":                {"marquee/internal/catalog", "marquee/internal/identity", !test, "may not import"},
		"payment goes uphill":                        {"marquee/internal/payment", "marquee/internal/booking", !test, "may not import"},
		"tests go no further uphill than code":       {"marquee/internal/payment", "marquee/internal/booking", test, "may not import"},
		"pricing stays pure":                         {"marquee/internal/pricing", "marquee/internal/postgres", !test, "may not import"},
		"pricing has no handle":                      {"marquee/internal/pricing", "database/sql/driver", !test, "may not import"},
		"a secret is guessed":                        {"marquee/internal/identity", "math/rand/v2", !test, "may not import math/rand/v2"},
		"a secret is made":                           {"marquee/internal/identity", "crypto/rand", !test, ""},
		"a domain reads ent":                         {"marquee/internal/catalog", "marquee/ent/movie", !test, ""},
		"a domain reads ent's schema":                {"marquee/internal/catalog", "marquee/ent/schema", !test, "kept to ent"},
		"a domain publishes":                         {"marquee/internal/booking", "marquee/internal/bus", !test, "may not import"},
		"a domain's tests have a database":           {"marquee/internal/booking", "marquee/internal/dbtest", test, ""},
		"a domain has a test database":               {"marquee/internal/booking", "marquee/internal/dbtest", !test, "may not import"},
		"an engine knows a domain":                   {"marquee/internal/seatfeed", "marquee/internal/seating", !test, "may not import"},
		"an engine knows a leaf":                     {"marquee/internal/bus", "marquee/internal/apperr", !test, ""},
		"an engine knows another":                    {"marquee/internal/seatfeed", "marquee/internal/bus", !test, "may not import"},
		"an engine is tested with another":           {"marquee/internal/seatfeed", "marquee/internal/bus", test, ""},
		"that other is not tested with it":           {"marquee/internal/bus", "marquee/internal/seatfeed", test, "may not import"},
		"graph watches":                              {"marquee/graph", "marquee/internal/seatfeed", !test, ""},
		"a private cluster is for development":       {"marquee/internal/postgres", "marquee/internal/postgres/local", !test, "kept to"},
		"a leaf knows a leaf":                        {"marquee/internal/page", "marquee/internal/apperr", !test, ""},
		"a leaf knows an engine":                     {"marquee/internal/money", "marquee/internal/postgres", !test, "may not import"},
		"a leaf takes a module":                      {"marquee/internal/money", "github.com/99designs/gqlgen/graphql", !test, "kept to graph"},
		"a leaf takes an unguarded module":           {"marquee/internal/money", "github.com/shopspring/decimal", !test, "module that its room does not name"},
		"a leaf takes a named module":                {"marquee/internal/money", "golang.org/x/text/currency", !test, ""},
		"a leaf's tests take a module":               {"marquee/internal/money", "pgregory.net/rapid", test, ""},
		"a name that only begins like a module":      {"marquee/internal/money", "golang.org/x/textual", !test, "may not import"},
		"ent's schema knows a leaf":                  {"marquee/ent/schema", "marquee/internal/money", !test, ""},
		"ent's schema knows generated code":          {"marquee/ent/schema", "marquee/ent", !test, "may not import"},
		"ent's schema knows a domain":                {"marquee/ent/schema", "marquee/internal/theater", !test, "may not import"},
		"lib/pq in a domain":                         {"marquee/internal/catalog", "github.com/lib/pq", !test, "kept to internal/postgres"},
		"lib/pq in a domain's tests":                 {"marquee/internal/catalog", "github.com/lib/pq", test, "kept to internal/postgres"},
		"lib/pq below postgres":                      {"marquee/internal/postgres/local", "github.com/lib/pq", test, ""},
		"gorilla in the transport":                   {"marquee/graph/transport", "github.com/gorilla/websocket", !test, ""},
		"gorilla elsewhere in graph":                 {"marquee/graph", "github.com/gorilla/websocket", !test, "kept to graph/transport"},
		"gorilla in any test":                        {"marquee/internal/app", "github.com/gorilla/websocket", test, ""},
		"gorilla in a client":                        {"marquee/internal/bench/booking", "github.com/gorilla/websocket", !test, ""},
		"a client reaches into a domain":             {"marquee/internal/smoke", "marquee/internal/booking", !test, "may not import"},
		"the console knows nothing":                  {"marquee/web", "marquee/internal/auth", !test, "may not import"},
		"a package without a room":                   {"marquee/internal/util", "fmt", !test, "is in no room"},
		"a package without a room is imported":       {"marquee/internal/booking", "marquee/internal/util", !test, "is in no room"},
		"a command beside server.go":                 {"marquee/cmd", "fmt", !test, "is in no room"},
		"a room whose name begins like another":      {"marquee/internal/application", "fmt", !test, "is in no room"},
		"an edge from another module":                {"example.org/other", "fmt", !test, "no package of the module"},
		"the module's name as a prefix of another's": {"marquee.example/other", "fmt", !test, "no package of the module"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			breaches := archtest.Marquee().Check([]archtest.Edge{{From: row.from, To: row.to, Test: row.test}})
			switch {
			case row.refusal == "" && len(breaches) > 0:
				t.Errorf("refused: %s", breaches[0])
			case row.refusal != "" && len(breaches) == 0:
				t.Error("the edge passed")
			case row.refusal != "" && !strings.Contains(breaches[0], row.refusal):
				t.Errorf("%q does not say %q", breaches[0], row.refusal)
			}
		})
	}
}

func TestHouse_HasRoom(t *testing.T) {
	t.Parallel()
	for importPath, want := range map[string]bool{
		"marquee":                            true,
		"marquee/internal/money":             true,
		"marquee/internal/payment/sandbox":   true,
		"marquee/ent/schema":                 true,
		"marquee/internal":                   false,
		"marquee/internal/util":              false,
		"marquee/internal/moneybag":          false,
		"marquee/cmd/marquee":                false,
		"example.org/marquee/internal/money": false,
	} {
		if got := archtest.Marquee().HasRoom(importPath); got != want {
			t.Errorf("HasRoom(%q) is %t, want %t", importPath, got, want)
		}
	}
}

func TestHouse_Check_ReportsEachBreachOnce(t *testing.T) {
	t.Parallel()
	edge := archtest.Edge{From: "marquee/internal/money", To: "marquee/internal/bus"}
	other := archtest.Edge{From: "marquee/internal/page", To: "marquee/internal/bus"}

	breaches := archtest.Marquee().Check([]archtest.Edge{edge, other, edge})
	want := []string{
		"internal/money may not import internal/bus",
		"internal/page may not import internal/bus",
	}
	if !slices.Equal(breaches, want) {
		t.Errorf("got %q, want %q", breaches, want)
	}
}

// listModule asks the go command for every package and its imports, those of its tests included.
func listModule(t *testing.T) (packages []string, edges []archtest.Edge) {
	t.Helper()
	openSourceFolders(t)
	command := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	command.Dir = moduleRoot
	var complaint bytes.Buffer
	command.Stderr = &complaint
	listed, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, complaint.Bytes())
	}

	for decoder := json.NewDecoder(bytes.NewReader(listed)); ; {
		var pkg struct {
			ImportPath                         string
			Imports, TestImports, XTestImports []string
		}
		err := decoder.Decode(&pkg)
		if errors.Is(err, io.EOF) {
			return packages, edges
		}
		if err != nil {
			t.Fatalf("decode the answer of go list: %v", err)
		}
		packages = append(packages, pkg.ImportPath)
		for _, to := range pkg.Imports {
			edges = append(edges, archtest.Edge{From: pkg.ImportPath, To: to})
		}
		for _, to := range slices.Concat(pkg.TestImports, pkg.XTestImports) {
			edges = append(edges, archtest.Edge{From: pkg.ImportPath, To: to, Test: true})
		}
	}
}

// openSourceFolders lists every folder that the go command would look for packages in. A passed
// test is cached until something that its own process opened has changed, and go list opens the
// sources in another process.
func openSourceFolders(t *testing.T) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(moduleRoot), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() || path == "." {
			return err
		}
		name := entry.Name()
		if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || name == "node_modules" {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatalf("list the folders of the module: %v", err)
	}
}
