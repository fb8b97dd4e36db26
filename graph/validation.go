package graph

import (
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/core"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// validation returns what makes the rules that documents are held to: those of the specification, and that whole numbers
// have 32 bits. Where the schema is no secret, errors say which name may have been meant.
func validation(suggestions bool) func() *rules.Rules {
	return func() *rules.Rules {
		all := rules.NewDefaultRules()
		all.AddRule("IntLiterals", intLiterals)
		if suggestions {
			return all
		}
		// The executor itself silences two more: FieldsOnCorrectType and ScalarLeafs.
		for talkative, silent := range map[string]core.Rule{
			rules.KnownArgumentNamesRule.Name:  rules.KnownArgumentNamesRuleWithoutSuggestions,
			rules.KnownTypeNamesRule.Name:      rules.KnownTypeNamesRuleWithoutSuggestions,
			rules.ValuesOfCorrectTypeRule.Name: rules.ValuesOfCorrectTypeRuleWithoutSuggestions,
		} {
			all.ReplaceRule(talkative, silent.RuleFunc)
		}
		return all
	}
}

// intLiterals refuses numbers that fit into 64 bits but not into 32, which the libraries let pass. What is longer still
// they refuse themselves.
func intLiterals(observers *core.Events, addError core.AddErrFunc) {
	observers.OnValue(func(_ *core.Walker, value *ast.Value) {
		if value.Kind != ast.IntValue || value.Definition == nil || value.Definition.Name != "Int" {
			return
		}
		if n, err := strconv.ParseInt(value.Raw, 10, 64); err == nil && n != int64(int32(n)) {
			addError(core.Message("Int cannot represent non 32-bit signed integer value: %s", value.Raw), core.At(value.Position))
		}
	})
}
