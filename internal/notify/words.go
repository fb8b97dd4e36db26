package notify

import (
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"path"
	"strings"
	texttemplate "text/template"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/text/language"
	"golang.org/x/text/unicode/bidi"
)

// Each language is one file: what roles and their scopes are called, the closing, and for each kind a subject, a body of
// paragraphs, and where the kind has a link, what it is called. How a letter looks is said once, in layout.html.
//
//go:embed words/*.tmpl layout.html
var files embed.FS

// Letter is a mail as it is sent.
type Letter struct {
	ID       uuid.UUID
	To       string
	Kind     Kind
	Language string
	Subject  string
	Text     string
	HTML     string
	Link     string // "" where there is none
}

// Words are the languages in which letters are written.
type Words struct {
	base      string
	tags      []language.Tag
	languages []*texttemplate.Template
	matcher   language.Matcher
	layout    *template.Template
}

// Mother is the language for everybody whose own there is not.
const Mother = "en"

var mother = language.MustParse(Mother)

// NewWords reads the languages. Links lead to pages under base, which has no slash at its end: no mail can lead elsewhere.
func NewWords(base string) (*Words, error) {
	layout, err := template.ParseFS(files, "layout.html")
	if err != nil {
		return nil, fmt.Errorf("notify: %w", err)
	}
	w := &Words{base: base, layout: layout}
	names, err := fs.Glob(files, "words/*.tmpl")
	if err != nil {
		return nil, fmt.Errorf("notify: %w", err)
	}
	for _, name := range names {
		tag, err := language.Parse(strings.TrimSuffix(path.Base(name), ".tmpl"))
		if err != nil {
			return nil, fmt.Errorf("notify: %s is not named after a language: %w", name, err)
		}
		words, err := texttemplate.New("").Option("missingkey=error").ParseFS(files, name)
		if err != nil {
			return nil, fmt.Errorf("notify: %w", err)
		}
		if tag == mother {
			w.tags, w.languages = append([]language.Tag{tag}, w.tags...), append([]*texttemplate.Template{words}, w.languages...)
		} else {
			w.tags, w.languages = append(w.tags, tag), append(w.languages, words)
		}
	}
	w.matcher = language.NewMatcher(w.tags)
	return w, nil
}

// page is what the layout shows.
type page struct {
	Language, Direction, Subject string
	Paragraphs                   []string
	Link, Action                 string
	Closing                      string
}

// Write writes a letter in the language nearest to the mail's locale.
func (w *Words) Write(id uuid.UUID, m Mail) (Letter, error) {
	_, i := language.MatchStrings(w.matcher, m.Locale)
	words, tag := w.languages[i], w.tags[i]
	data := make(Data, len(m.Data))
	for key, value := range m.Data {
		data[key] = quoted(value)
	}
	p := page{Language: tag.String(), Direction: direction(tag)}
	if link, has := m.Data["link"]; has {
		p.Link = w.base + link
	}
	parts := []struct {
		into *string
		name string
	}{{&p.Subject, string(m.Kind) + " subject"}, {&p.Closing, "closing"}}
	if p.Link != "" {
		parts = append(parts, struct {
			into *string
			name string
		}{&p.Action, string(m.Kind) + " action"})
	}
	var body string
	parts = append(parts, struct {
		into *string
		name string
	}{&body, string(m.Kind)})
	for _, part := range parts {
		var text strings.Builder
		if err := words.ExecuteTemplate(&text, part.name, data); err != nil {
			return Letter{}, fmt.Errorf("notify: write %s: %w", part.name, err)
		}
		*part.into = strings.TrimSpace(text.String())
	}
	for paragraph := range strings.SplitSeq(body, "\n\n") {
		p.Paragraphs = append(p.Paragraphs, strings.Join(strings.Fields(paragraph), " "))
	}
	var html strings.Builder
	if err := w.layout.Execute(&html, p); err != nil {
		return Letter{}, fmt.Errorf("notify: lay out %s: %w", m.Kind, err)
	}
	return Letter{
		ID: id, To: m.To, Kind: m.Kind, Language: p.Language, Subject: p.Subject, Text: p.text(), HTML: html.String(), Link: p.Link,
	}, nil
}

// text is the letter without a layout.
func (p page) text() string {
	paragraphs := p.Paragraphs
	if p.Link != "" {
		paragraphs = append(paragraphs, p.Action+":\n"+p.Link)
	}
	return strings.Join(append(paragraphs, p.Closing), "\n\n") + "\n"
}

func direction(tag language.Tag) string {
	script, _ := tag.Script()
	switch script.String() {
	case "Arab", "Hebr", "Thaa", "Syrc", "Nkoo", "Adlm":
		return "rtl"
	default:
		return "ltr"
	}
}

const maxQuoted = 200

// quoted makes something that a person chose fit to stand in a sentence: one line, without marks that turn the direction
// of writing, of bounded length, and set apart where it is written from right to left.
func quoted(text string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError, !unicode.IsPrint(r) && !isJoiner(r):
			return -1
		default:
			return r
		}
	}, strings.ToValidUTF8(text, ""))
	clean = strings.Join(strings.Fields(clean), " ")
	if runes := []rune(clean); len(runes) > maxQuoted {
		clean = string(runes[:maxQuoted]) + "…"
	}
	for _, r := range clean {
		if p, _ := bidi.LookupRune(r); p.Class() == bidi.R || p.Class() == bidi.AL {
			const isolate, end = "\u2068", "\u2069"
			return isolate + clean + end
		}
	}
	return clean
}

// isJoiner reports whether r shapes the letters around it, as some scripts need.
func isJoiner(r rune) bool { return r == '\u200c' || r == '\u200d' }
