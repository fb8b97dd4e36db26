package archtest

import (
	"slices"
	"strings"
	"testing"
)

// The rules that are rendered must judge every import of one room by another, of the packages below
// its top one, and of what is guarded, as Check does. The judge below follows depguard's documentation and its source, its way
// of looking at one entry of a list only among it.
func TestHouse_DepguardRules_judge_as_Check_does(t *testing.T) {
	t.Parallel()
	house := Marquee()
	rules := house.depguardRules()

	var imports []string
	for _, room := range house.Rooms {
		if room.Path != "." {
			imports = append(imports, house.Module+"/"+room.Path, house.Module+"/"+room.Path+"/wire")
		}
		imports = append(imports, room.Bans...)
	}
	for _, guard := range house.Guards {
		imports = append(imports, guard.Import)
		if isThirdParty(guard.Import) {
			imports = append(imports, guard.Import+"/below")
		}
	}

	refused := 0
	for _, room := range house.Rooms {
		from := house.Module + "/" + room.Path
		if room.Path == "." {
			from = house.Module
		}
		for _, to := range imports {
			if to == from {
				continue
			}
			breaches := house.Check([]Edge{{From: from, To: to}})
			refused += len(breaches)
			if passes(rules, room.Path, to) != (len(breaches) == 0) {
				t.Errorf("%s -> %s: depguard lets it pass: %t, Check says %q", from, to, len(breaches) > 0, breaches)
			}
		}
	}
	if refused == 0 {
		t.Error("no import was refused, so nothing was compared")
	}
}

func passes(rules []depguardRule, folder, importPath string) bool {
	for _, rule := range rules {
		if !covers(rule.files, folder) {
			continue
		}
		allowed, allow := lookUp(rule.allow, importPath)
		if rule.mode == "strict" {
			isStandard := !isThirdParty(importPath) && !isWithin(importPath, "marquee")
			if !allowed && !isStandard {
				return false
			}
			continue
		}
		denied := strings.HasPrefix(importPath, rule.deny)
		if denied && (!allowed || len(allow) <= len(rule.deny)) {
			return false
		}
	}
	return true
}

// covers reports whether the patterns match the code of a folder.
func covers(patterns []string, folder string) bool {
	matches := func(pattern string) bool {
		below := strings.TrimSuffix(strings.TrimPrefix(pattern, "${config-path}/"), "/**")
		return pattern == "$all" || pattern == "${config-path}/*.go" && folder == "." || isWithin(folder, below)
	}
	covered := false
	for _, pattern := range patterns {
		excluded, isExclusion := strings.CutPrefix(pattern, "!")
		if isExclusion && matches(excluded) {
			return false
		}
		covered = covered || !isExclusion && matches(pattern)
	}
	return covered
}

// lookUp finds the one entry of a list that depguard compares with an import.
func lookUp(entries []string, importPath string) (bool, string) {
	sorted := slices.Sorted(slices.Values(entries))
	last := ""
	for _, entry := range sorted {
		if strings.TrimRight(entry, "$") <= importPath {
			last = entry
		}
	}
	if whole, ok := strings.CutSuffix(last, "$"); ok {
		return whole == importPath, last
	}
	return last != "" && strings.HasPrefix(importPath, last), last
}
