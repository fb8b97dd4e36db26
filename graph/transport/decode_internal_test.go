package transport

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestDecodeJSON(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]error{
		`{"a":[1,2.5e3,"x",null,true,{}]}`: nil,
		` 12 `:                             nil,
		nested(maxJSONDepth):               nil,
		nested(maxJSONDepth + 1):           errTooDeep,
		strings.Repeat(`{"a":`, 100_000):   errTooDeep,
		`{"a":1,"b":{"a":1},"a":2}`:        errDuplicateKey,
		`{"a":1}{}`:                        errTrailingData,
		`{"a":1}]`:                         errTrailingData,
		"\"\xc3\"":                         errNotUTF8,
	} {
		if _, err := decodeJSON([]byte(text)); !errors.Is(err, want) {
			t.Errorf("%.40s gives %v, want %v", text, err, want)
		}
	}
	for _, text := range []string{
		`{"a" 1}`, `[1 2]`, `[1,]`, `{"a":1,}`, `{a:1}`, `nul`, `01`, `+1`, `'a'`, `[,1]`, `{1:2}`, "\ufeff1",
		`{"a":1`, `[1,`, `"abc`, `"abc\`, ``, ` `, `-`, `1.`, `1e`, `1e+`, `.5`, `"\u12"`, `"\x"`, "\"\n\"", "1\x00", "\x00", `[`, `{`, `{"a"`, `{"a":`,
	} {
		if value, err := decodeJSON([]byte(text)); err == nil {
			t.Errorf("%s gives %v", text, value)
		}
	}
}

func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

// FuzzDecodeJSON holds the decoder against encoding/json: it accepts nothing that encoding/json refuses, reads the same
// value, and refuses for its own reasons alone.
func FuzzDecodeJSON(f *testing.F) {
	for _, seed := range []string{
		`{"query":"{a}","variables":{"n":1e400,"s":"\ud800\u0000"}}`, `[[],{},[{}],null]`, `{"a":1,"a":2}`, `[1,]`, `"\"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := decodeJSON(data)
		var want any
		d := json.NewDecoder(strings.NewReader(string(data)))
		d.UseNumber()
		reference := d.Decode(&want)
		valid := json.Valid(data)
		switch {
		case err == nil && (!valid || reference != nil):
			t.Fatalf("accepted %q", data)
		case err == nil && !reflect.DeepEqual(got, want):
			t.Fatalf("%q reads %v, want %v", data, got, want)
		case err != nil && valid:
			if !errors.Is(err, errTooDeep) && !errors.Is(err, errDuplicateKey) && !errors.Is(err, errNotUTF8) {
				t.Fatalf("refused %q: %v", data, err)
			}
		}
	})
}

func BenchmarkDecodeJSON(b *testing.B) {
	body := []byte(`{"operationName":"Reserve","query":"` + strings.Repeat("mutation Reserve($input: ReserveSeatsInput!) ", 20) +
		`","variables":{"input":{"showtimeId":"sho_123","seats":["A1","A2","A3"],"tier":1}}}`)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := decodeJSON(body); err != nil {
			b.Fatal(err)
		}
	}
}
