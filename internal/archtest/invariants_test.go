package archtest_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// invariants are what always holds of money, and the attacks on it that are tried. The tests of each carry its name, as in
// TestP13_two_tabs.
var invariants = map[string]string{
	"P1":  "One idempotency key is at most one charge, one reservation and one answer; with other parameters it is an error.",
	"P2":  "Every captured payment ends as exactly one of a confirmed reservation and a full refund.",
	"P3":  "Of every confirmed reservation that costs something the money was captured: its price as it was frozen, in its currency.",
	"P4":  "What goes back of a payment never exceeds what was captured.",
	"P5":  "Money is whole minor units; the ledger is never changed and sums to zero per currency.",
	"P6":  "The state of a payment moves along the allowed edges only, and never back.",
	"P7":  "One event has one effect, whichever of webhook, look and the customer's return comes first.",
	"P8":  "Money that comes when the hold ran out has the seats again if all are free, or goes back and the customer is told.",
	"P9":  "No answer from a gateway is unknown: nothing is charged anew before it was looked up.",
	"P10": "Our books equal the gateway's.",
	"P11": "Webhooks that are unsigned, altered, stale or meant for another change nothing.",
	"P12": "Price, currency and seats are decided here, and frozen with the hold.",
	"P13": "Of several attempts for one reservation at most one is captured.",
	"P14": "No number and no security code of a card is in the contract, a log, a table, the bus or a trace.",
	"P15": "After the database was restored to an earlier time, money that moved since is applied again or goes back.",

	"PM1":  "The same key in sequence, fifty times at once and after a crash is one charge.",
	"PM2":  "The same key for other seats is IDEMPOTENCY_KEY_REUSED; no key, or one of 10 kB, is BAD_USER_INPUT.",
	"PM3":  "A webhook that is unsigned, has one byte changed, is six minutes old or was written anew is answered 400 and changes nothing.",
	"PM4":  "The same webhook fifty times has one effect, and each is answered well.",
	"PM5":  "Webhooks in whatever order lead to the right end.",
	"PM6":  "A webhook of an unknown payment is kept, answered well and looked at again.",
	"PM7":  "A unit less, a unit more or another currency captured is not confirmed, and is flagged.",
	"PM8":  "When the answer is cut after the charge and the client tries again there is one charge.",
	"PM9":  "Success after the hold ran out and the seats were sold is a full refund with one letter.",
	"PM10": "Twenty full refunds at once are one.",
	"PM11": "A refund that failed is never shown as given back.",
	"PM12": "The number of a card in a name, a review or a note is refused, and logged nowhere.",
	"PM13": "A page, ten megabytes or a redirect from the gateway is unknown, followed nowhere and bounded.",

	"V3": "A gateway that is slow or away slows neither browsing nor holds; payments are pending, and settled later.",
}

// Every invariant has a test of its name, so that `go test -run` finds it and nobody deletes the last one unawares.
func TestInvariants_have_tests(t *testing.T) {
	t.Parallel()
	code := regexp.MustCompile(`^(?:PM?|V)\d+$`)
	tests := map[string][]string{}
	err := filepath.WalkDir(moduleRoot, func(path string, entry fs.DirEntry, err error) error {
		if name := entry.Name(); err == nil && entry.IsDir() && path != moduleRoot && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "testdata") {
			return filepath.SkipDir
		}
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, declaration := range file.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if !ok || function.Recv != nil {
				continue
			}
			name, isTest := strings.CutPrefix(function.Name.Name, "Test")
			for word := range strings.SplitSeq(name, "_") {
				if isTest && code.MatchString(word) {
					tests[word] = append(tests[word], function.Name.Name)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(invariants)) {
		if len(tests[name]) == 0 {
			t.Errorf("no test has the name of %s: %s", name, invariants[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		if _, known := invariants[name]; !known && strings.HasPrefix(name, "P") {
			t.Errorf("%v: %s is no invariant of the list", tests[name], name)
		}
	}
}
