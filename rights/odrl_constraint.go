package rights

import (
	"slices"
	"strings"
	"time"
)

// maxSpans bounds the windows of one rule: `and` over several `or` multiplies them.
const maxSpans = 64

// constraint returns what constraints leave open, as spans of which any one suffices. A list of constraints is a conjunction (ODRL
// Information Model 2.2, 2.5.1).
func (i *odrlImport) constraint(n node, where *at) []odrlSpan {
	if n.kind == nodeList {
		return i.conjunction(n, where)
	}
	for _, logical := range [...]struct {
		name string
		read func(node, *at) []odrlSpan
	}{{"and", i.conjunction}, {"or", i.disjunction}} {
		if !hasField(n, logical.name) {
			continue
		}
		var spans []odrlSpan
		ignored := func(node, *at) {}
		i.fields(n, where, map[string]fieldReader{
			logical.name: func(n node, where *at) { spans = logical.read(i.listed(n, where), where) },
			"uid":        ignored, "@id": ignored,
			"@type": func(n node, where *at) {
				if odrlName(n.text) != "LogicalConstraint" {
					i.mistake(n, where, "want LogicalConstraint")
				}
			},
		})
		return spans
	}
	return i.atomic(n, where)
}

// listed takes the list out of the object with @list that JSON-LD keeps the order of operands by.
func (i *odrlImport) listed(n node, where *at) node {
	if n.kind != nodeMap {
		return n
	}
	var list node
	i.fields(n, where, map[string]fieldReader{"@list": func(n node, _ *at) { list = n }})
	if list.line == 0 {
		list = node{kind: nodeList, line: n.line}
	}
	return list
}

func (i *odrlImport) conjunction(n node, where *at) []odrlSpan {
	all := []odrlSpan{{}}
	i.list(n, where, func(n node, where *at) {
		var both []odrlSpan
		for _, more := range i.constraint(n, where) {
			for _, span := range all {
				combined, err := span.and(more)
				if err != nil {
					i.mistake(n, where, "%v", err)
					return
				}
				both = append(both, combined)
			}
		}
		if all = both; len(all) > maxSpans {
			i.mistake(n, where, "more than %d combinations", maxSpans)
			all = all[:1]
		}
	})
	return all
}

func (i *odrlImport) disjunction(n node, where *at) (any []odrlSpan) {
	i.list(n, where, func(n node, where *at) {
		if any = append(any, i.constraint(n, where)...); len(any) > maxSpans {
			i.mistake(n, where, "more than %d alternatives", maxSpans)
			any = any[:1]
		}
	})
	return any
}

// atomic reads a constraint of the form left operand, operator, right operand.
func (i *odrlImport) atomic(n node, where *at) []odrlSpan {
	var operand, operator string
	var right node
	before := len(i.mistakes)
	ignored := func(node, *at) {}
	i.fields(n, where, map[string]fieldReader{
		"uid":          ignored,
		"@id":          ignored,
		"leftOperand":  func(n node, where *at) { operand = odrlName(i.iri(n, where)) },
		"operator":     func(n node, where *at) { operator = odrlName(i.iri(n, where)) },
		"rightOperand": func(n node, _ *at) { right = n },
		"@type": func(n node, where *at) {
			if odrlName(n.text) != "Constraint" {
				i.mistake(n, where, "want Constraint")
			}
		},
	})
	if len(i.mistakes) == before && (operand == "" || operator == "" || right.line == 0) {
		i.mistake(n, where, "want leftOperand, operator and rightOperand")
	}
	if len(i.mistakes) > before {
		return nil
	}
	var span odrlSpan
	rightAt := where.field("rightOperand")
	switch operand {
	case "dateTime":
		span = i.dateTime(n, where, operator, right)
	case "spatial":
		span = i.spatial(n, where, operator, right)
	case "product", "recipient":
		if operator != "eq" && operator != "isA" && operator != "isPartOf" && operator != "isAnyOf" {
			i.mistake(n, where, "%s %.20q: want eq, isA, isPartOf or isAnyOf", operand, operator)
		}
		span.plans = i.operands(right, rightAt, operator)
	case "count":
		i.mistake(n, where, "count: how often somebody has watched is not known here, so it cannot be enforced; limit it where tokens are given out")
	default:
		i.mistake(n, where, "leftOperand %.40q: want dateTime, spatial, product or recipient", operand)
	}
	return []odrlSpan{span}
}

// dateTime maps to half-open windows exactly: an instant has nanoseconds.
func (i *odrlImport) dateTime(n node, where *at, operator string, right node) (span odrlSpan) {
	t := i.instant(i.literal(right, where.field("rightOperand"), "xsd:dateTime", "xsd:dateTimeStamp",
		"http://www.w3.org/2001/XMLSchema#dateTime", "http://www.w3.org/2001/XMLSchema#dateTimeStamp"), where.field("rightOperand"))
	switch operator {
	case "gteq":
		span.start = t
	case "gt":
		span.start = justAfter(t)
	case "lt":
		span.end = t
	case "lteq":
		span.end = justAfter(t)
	default:
		i.mistake(n, where, "dateTime %.20q: want gteq, gt, lt or lteq", operator)
	}
	return span
}

// justAfter stays within what can be written: the last instant of 9999 is a common word for never.
func justAfter(t time.Time) time.Time {
	if next := t.Add(time.Nanosecond); next.Year() <= 9999 {
		return next
	}
	return t
}

// literal takes the value out of a typed literal.
func (i *odrlImport) literal(n node, where *at, types ...string) node {
	if n.kind != nodeMap {
		return n
	}
	value := node{line: n.line}
	i.fields(n, where, map[string]fieldReader{
		"@value": func(n node, _ *at) { value = n },
		"@type": func(n node, where *at) {
			if !slices.Contains(types, n.text) {
				i.mistake(n, where, "want the type %s", types[0])
			}
		},
	})
	return value
}

// spatial maps places to territories.
func (i *odrlImport) spatial(n node, where *at, operator string, right node) (span odrlSpan) {
	words := i.operands(right, where.field("rightOperand"), operator)
	for j := range words {
		words[j] = countryOfIRI(words[j])
	}
	switch operator {
	case "eq", "isPartOf", "isAnyOf":
		span.territories = words
	case "neq", "isNoneOf":
		span.excluded = words
	default:
		i.mistake(n, where, "spatial %.20q: want eq, isPartOf, isAnyOf, neq or isNoneOf", operator)
	}
	return span
}

// countryOfIRI returns the code at the end of an IRI that says it is of ISO 3166, and everything else as it is: what is no word for
// a territory is found where those are read.
func countryOfIRI(iri string) string {
	const iso = "3166"
	at := strings.LastIndex(iri, iso)
	if at < 0 {
		return iri
	}
	return iri[max(at+len(iso), strings.LastIndexAny(iri, ":/#")+1):]
}

// operands returns the words of one right operand or, for operators that are about several, of a list.
func (i *odrlImport) operands(n node, where *at, operator string) (words []string) {
	read := func(n node, where *at) {
		if hasField(n, "@value") {
			n = i.literal(n, where, "xsd:string", "http://www.w3.org/2001/XMLSchema#string")
		}
		words = append(words, i.iri(n, where))
	}
	if n.kind == nodeList {
		i.list(n, where, read)
	} else {
		read(n, where)
	}
	if len(words) > 1 && operator != "isAnyOf" && operator != "isNoneOf" {
		i.mistake(n, where, "%.20q is about one operand: want isAnyOf or isNoneOf for several", operator)
	}
	for _, word := range words {
		if len(word) > maxWordBytes {
			i.mistake(n, where, "want words of at most %d bytes", maxWordBytes)
			return nil
		}
	}
	return words
}
