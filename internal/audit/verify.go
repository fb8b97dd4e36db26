package audit

import (
	"context"
	"fmt"
	"io"
	"slices"

	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

// FindingKind is what is wrong with the log.
type FindingKind string

// The kinds of findings.
const (
	FindingMissing   FindingKind = "MISSING"   // positions without an entry
	FindingAltered   FindingKind = "ALTERED"   // an entry is not the one that was sealed at its position
	FindingMoved     FindingKind = "MOVED"     // an entry was sealed at another position
	FindingInserted  FindingKind = "INSERTED"  // an entry that was never sealed pushed another one away
	FindingCut       FindingKind = "CUT"       // the log ends before a signed head
	FindingRewritten FindingKind = "REWRITTEN" // a chain that fits together is not the one that was signed
	FindingHead      FindingKind = "HEAD"      // a head that this installation did not sign
	FindingNoHeads   FindingKind = "NO_HEADS"  // no head says where the log ended
)

// Finding is one place where the log is not what it was.
type Finding struct {
	Kind    FindingKind `json:"kind"`
	From    int64       `json:"from,omitempty"`    // the first position concerned
	Through int64       `json:"through,omitempty"` // the last one
	Entry   string      `json:"entry,omitempty"`   // id of the entry that stands there
	Text    string      `json:"text"`              // a sentence for people
}

// Report is what Verify found.
type Report struct {
	Sealed   int64     `json:"sealed"`  // entries in the chain
	Waiting  int64     `json:"waiting"` // entries that no sealer has come to yet
	Heads    int       `json:"heads"`   // that were compared
	LastHead *Head     `json:"lastHead,omitempty"`
	Findings []Finding `json:"findings"`
	More     int64     `json:"more,omitempty"` // entries that do not fit either and are not listed
}

const (
	verifyBatch = 2000
	// maxFindings bounds the report; what comes after the first is mostly its consequence.
	maxFindings = 100
	// explained bounds how many entries that do not fit are tried at other positions, which takes the cube of it.
	explained = 32
)

// Verify reads the whole log and compares it with itself and with the heads in the given texts, each a file of heads or
// log lines that hold some. It may run while entries are written and sealed.
func Verify(ctx context.Context, db *postgres.DB, secret []byte, texts ...io.Reader) (Report, error) {
	signer, err := newSigner(secret)
	if err != nil {
		return Report{}, err
	}
	v := verification{report: Report{Findings: []Finding{}}}
	// Heads first: whatever is sealed meanwhile, an entry that a head names is in the log.
	for _, text := range texts {
		if err := readHeads(text, func(line int, h Head) { v.head(signer, line, h) }); err != nil {
			return Report{}, err
		}
	}
	slices.SortFunc(v.heads, func(a, b pinned) int { return int(a.position - b.position) })
	v.report.Heads = len(v.heads)
	for more := true; more; {
		rows, err := db.SQL().QueryContext(ctx, `SELECT `+recordColumns+` FROM audit_entries WHERE position > $1 ORDER BY position LIMIT $2`, v.position, verifyBatch)
		if err != nil {
			return Report{}, fmt.Errorf("reading the audit log: %w", err)
		}
		batch, err := postgres.Collect(rows, scanRecord)
		if err != nil {
			return Report{}, err
		}
		for _, r := range batch {
			v.entry(r)
		}
		more = len(batch) == verifyBatch
	}
	v.finish()
	err = db.SQL().QueryRowContext(ctx, `SELECT count(*) FROM audit_entries WHERE position IS NULL`).Scan(&v.report.Waiting)
	if err != nil {
		return Report{}, fmt.Errorf("reading the audit log: %w", err)
	}
	return v.report, nil
}

// pinned is what a head says.
type pinned struct {
	position int64
	seal     hash
}

// misfit is an entry whose seal does not follow from the one before it.
type misfit struct {
	Record

	before hash
}

// verification is one walk along the chain.
type verification struct {
	report   Report
	heads    []pinned // by position
	next     int      // the first of heads not come to
	agreed   int64    // position of the last head that agreed
	disputed bool     // since then a head did not agree

	position int64 // of the last entry
	seal     hash  // of the last entry
	misfits  []misfit
	lastGap  int64
}

func (v *verification) find(f Finding) {
	if len(v.report.Findings) < maxFindings {
		v.report.Findings = append(v.report.Findings, f)
		return
	}
	v.report.More++
}

func (v *verification) head(s signer, line int, h Head) {
	if !s.signedThis(h) {
		v.find(Finding{Kind: FindingHead, From: h.Position, Text: fmt.Sprintf(
			"The head of position %d, in line %d, was not signed by this installation, or was changed.", h.Position, line)})
		return
	}
	seal, _ := h.seal()
	v.heads = append(v.heads, pinned{h.Position, seal})
	if last := v.report.LastHead; last == nil || last.Position < h.Position {
		v.report.LastHead = &h
	}
}

// entry takes the next entry of the chain.
func (v *verification) entry(r Record) {
	v.report.Sealed++
	gap := r.position > v.position+1
	switch {
	case gap:
		v.find(Finding{Kind: FindingMissing, From: v.position + 1, Through: r.position - 1, Text: fmt.Sprintf(
			"The entries at positions %d to %d are missing: they were deleted. Next comes %s at position %d, which cannot be told to be as it was.",
			v.position+1, r.position-1, r.NodeID(), r.position)})
		v.lastGap = r.position
	case r.sealAt(r.position, v.seal) != r.seal:
		if len(v.misfits) < maxFindings {
			v.misfits = append(v.misfits, misfit{r, v.seal})
		} else {
			v.report.More++
		}
	}
	for ; v.next < len(v.heads) && v.heads[v.next].position <= r.position; v.next++ {
		head := v.heads[v.next]
		if head.position == r.position && head.seal == r.seal {
			v.agreed, v.disputed = head.position, false
			continue
		}
		v.dispute(head)
	}
	v.position, v.seal = r.position, r.seal
}

// dispute takes a head that does not agree. What tells more of the place has precedence: a gap, a misfit.
func (v *verification) dispute(head pinned) {
	told := v.lastGap > v.agreed || len(v.misfits) > 0 && v.misfits[len(v.misfits)-1].position > v.agreed
	if !v.disputed && !told {
		v.find(Finding{Kind: FindingRewritten, From: v.agreed + 1, Through: head.position, Text: fmt.Sprintf(
			"The entries at positions %d to %d fit together, but they are not those that were signed: they were written anew.", v.agreed+1, head.position)})
	}
	v.disputed = true
}

func (v *verification) finish() {
	for _, f := range explain(v.misfits) {
		v.find(f)
	}
	if n := len(v.heads); n > v.next {
		last := v.heads[n-1].position
		v.find(Finding{Kind: FindingCut, From: v.position + 1, Through: last, Text: fmt.Sprintf(
			"The log ends at position %d, but was signed up to %d: the entries at positions %d to %d were cut off.", v.position, last, v.position+1, last)})
	} else if n == 0 && v.report.Sealed > 0 {
		v.find(Finding{Kind: FindingNoHeads, Text: "No head says where the log ended: entries cut off its end, or a log written anew, would not show."})
	}
	slices.SortStableFunc(v.report.Findings, func(a, b Finding) int { return int(a.From - b.From) })
}

// explain says of each misfit what became of it. An entry that was moved still has its content, so it fits at the
// position it comes from, after a seal that is or was there; one that fits where it stands is only the neighbour of
// another that does not.
func explain(misfits []misfit) []Finding {
	tried := misfits[:min(len(misfits), explained)]
	var positions []int64
	var before []hash
	seals := map[hash]bool{}
	for _, m := range tried {
		positions = append(positions, m.position-1, m.position, m.position+1)
		before = append(before, m.before, m.seal)
		seals[m.seal] = true
	}
	slices.Sort(positions)
	positions = slices.Compact(positions)
	origin := func(m misfit) int64 {
		for _, position := range positions {
			for _, seal := range append(before, hash{}) {
				if seals[m.sealAt(position, seal)] {
					return position
				}
			}
		}
		return 0
	}
	origins := make([]int64, len(misfits))
	for i, m := range tried {
		origins[i] = origin(m)
	}
	var findings []Finding
	for i, m := range misfits {
		f := Finding{From: m.position, Through: m.position, Entry: typeid.Encode(typeid.AuditEntry, m.ID)}
		switch {
		case origins[i] == m.position:
			continue
		case origins[i] != 0:
			f.Kind, f.Text = FindingMoved, fmt.Sprintf("Entry %s stands at position %d and was sealed at position %d: it was moved.", f.Entry, m.position, origins[i])
		case slices.Contains(origins, m.position):
			f.Kind, f.Text = FindingInserted, fmt.Sprintf("Entry %s at position %d was never sealed: it was put there.", f.Entry, m.position)
		default:
			f.Kind, f.Text = FindingAltered, fmt.Sprintf("Entry %s at position %d is not what was sealed there: it was changed, or put there later.", f.Entry, m.position)
		}
		findings = append(findings, f)
	}
	return findings
}
