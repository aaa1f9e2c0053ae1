package geo

import (
	"math"
	"strconv"
	"strings"

	"github.com/oschwald/maxminddb-golang/v2/mmdbdata"
)

// fields is what the records of all publishers have that concerns us, as text. Three forms are read at once, because their keys
// do not collide where it matters:
//
//	nested  country.iso_code, continent.code, subdivisions[].iso_code      MaxMind, DB-IP
//	flat    country_code, continent_code, asn ("AS64496")                  IPinfo, and country_code alone elsewhere
//	marks   is_anonymous…, autonomous_system_number (also inside traits)   MaxMind
//
// In flat records `country` and `continent` hold either a code or a name; a name is no code and says nothing.
type fields struct {
	country, countryCode     string
	continent, continentCode string
	subdivisions             [2]string
	asn                      uint32
	network                  Network
}

// maxCodeBytes bounds the strings that are taken from a record. Names may be longer, and are dropped.
const maxCodeBytes = 16

// UnmarshalMaxMindDBCursor reads one record. A value of another kind than any publisher uses is skipped like one of a key that is
// not known: what a database does not say in one of our forms it does not say.
func (f *fields) UnmarshalMaxMindDBCursor(cursor mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	return eachKey(cursor, func(key []byte, value mmdbdata.Cursor) (mmdbdata.Cursor, error) {
		switch string(key) {
		case "country":
			return readCode(value, "iso_code", &f.country)
		case "continent":
			return readCode(value, "code", &f.continent)
		case "country_code":
			return readText(value, &f.countryCode)
		case "continent_code":
			return readText(value, &f.continentCode)
		case "subdivisions":
			return f.readSubdivisions(value)
		case "traits":
			return f.readTraits(value)
		case "autonomous_system_number", "asn":
			return f.readASN(value)
		}
		if mark, ok := markKeys[string(key)]; ok {
			return f.readMark(value, mark)
		}
		return value.Skip()
	})
}

var markKeys = map[string]Network{
	"is_anonymous":         NetworkAnonymous,
	"is_anonymous_vpn":     NetworkVPN,
	"is_public_proxy":      NetworkPublicProxy,
	"is_residential_proxy": NetworkResidentialProxy,
	"is_tor_exit_node":     NetworkTor,
	"is_hosting_provider":  NetworkHosting,
}

// eachKey calls read for the members of a map; read returns the cursor behind the value. What is no map is skipped.
func eachKey(cursor mmdbdata.Cursor, read func([]byte, mmdbdata.Cursor) (mmdbdata.Cursor, error)) (mmdbdata.Cursor, error) {
	if kind, err := cursor.Kind(); err != nil || kind != mmdbdata.KindMap {
		return skip(cursor, err)
	}
	entries, err := cursor.MapReader()
	if err != nil {
		return mmdbdata.Cursor{}, err
	}
	next := entries.First()
	for range entries.Len() {
		key, value, err := next.ReadMapKey()
		if err != nil {
			return mmdbdata.Cursor{}, err
		}
		if next, err = read(key, value); err != nil {
			return mmdbdata.Cursor{}, err
		}
	}
	return entries.End(next)
}

func skip(cursor mmdbdata.Cursor, err error) (mmdbdata.Cursor, error) {
	if err != nil {
		return mmdbdata.Cursor{}, err
	}
	return cursor.Skip()
}

// readText reads a string that may be a code; a longer one and another kind leave into alone.
func readText(cursor mmdbdata.Cursor, into *string) (mmdbdata.Cursor, error) {
	if kind, err := cursor.Kind(); err != nil || kind != mmdbdata.KindString {
		return skip(cursor, err)
	}
	text, next, err := cursor.ReadString()
	if err == nil && len(text) <= maxCodeBytes {
		*into = text
	}
	return next, err
}

// readCode reads the code in a map, or a string that stands where the map would.
func readCode(cursor mmdbdata.Cursor, key string, into *string) (mmdbdata.Cursor, error) {
	if kind, err := cursor.Kind(); err != nil || kind != mmdbdata.KindMap {
		if err != nil {
			return mmdbdata.Cursor{}, err
		}
		return readText(cursor, into)
	}
	return eachKey(cursor, func(name []byte, value mmdbdata.Cursor) (mmdbdata.Cursor, error) {
		if string(name) != key {
			return value.Skip()
		}
		return readText(value, into)
	})
}

func (f *fields) readSubdivisions(cursor mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	if kind, err := cursor.Kind(); err != nil || kind != mmdbdata.KindSlice {
		return skip(cursor, err)
	}
	elements, err := cursor.Slice()
	if err != nil {
		return mmdbdata.Cursor{}, err
	}
	var next mmdbdata.Cursor
	for {
		i, value, more := elements.Next(next)
		if !more {
			return elements.End()
		}
		if i < uint(len(f.subdivisions)) {
			next, err = readCode(value, "iso_code", &f.subdivisions[i])
		} else {
			next, err = value.Skip()
		}
		if err != nil {
			return mmdbdata.Cursor{}, err
		}
	}
}

// readTraits reads the traits of Enterprise databases.
func (f *fields) readTraits(cursor mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	return eachKey(cursor, func(key []byte, value mmdbdata.Cursor) (mmdbdata.Cursor, error) {
		if string(key) != "autonomous_system_number" {
			return value.Skip()
		}
		return f.readASN(value)
	})
}

// readASN reads a number, or text such as AS64496.
func (f *fields) readASN(cursor mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	kind, err := cursor.Kind()
	switch {
	case err != nil:
		return mmdbdata.Cursor{}, err
	case kind == mmdbdata.KindString:
		var text string
		next, err := readText(cursor, &text)
		if asn, ok := parseASN(text); ok {
			f.asn = asn
		}
		return next, err
	case kind == mmdbdata.KindUint16, kind == mmdbdata.KindUint32, kind == mmdbdata.KindUint64:
		n, next, err := cursor.ReadUint()
		if n <= math.MaxUint32 {
			f.asn = uint32(n)
		}
		return next, err
	}
	return cursor.Skip()
}

// parseASN reads AS and a number above zero, in either case.
func parseASN(text string) (uint32, bool) {
	if len(text) < 3 || !strings.EqualFold(text[:2], "AS") || text[2] < '0' || text[2] > '9' {
		return 0, false
	}
	n, err := strconv.ParseUint(text[2:], 10, 32)
	return uint32(n), err == nil && n > 0
}

// readMark reads one of the marks of networks. That the key is there tells that the database would know.
func (f *fields) readMark(cursor mmdbdata.Cursor, mark Network) (mmdbdata.Cursor, error) {
	if kind, err := cursor.Kind(); err != nil || kind != mmdbdata.KindBool {
		return skip(cursor, err)
	}
	set, next, err := cursor.ReadBool()
	f.network |= NetworkKnown
	if set {
		f.network |= mark
	}
	return next, err
}

// record is what is kept of fields for every record of a database: 12 bytes.
type record struct {
	asn          uint32
	country      Country
	subdivisions [2]uint16 // index into Database.subdivisions; 0 is unknown
	continent    Continent
	network      Network
}

// compact brings f into the form that look-ups use.
func (f *fields) compact(intern func(Subdivision) (uint16, error)) (r record, err error) {
	r = record{asn: f.asn, network: f.network.normalized()}
	for _, code := range []string{f.countryCode, f.country} {
		if c, err := ParseCountry(code); err == nil { // a code that is not assigned places nobody
			r.country = c
			break
		}
	}
	for _, code := range []string{f.continentCode, f.continent} {
		if c, err := ParseContinent(code); err == nil {
			r.continent = c
			break
		}
	}
	if !r.country.IsKnown() {
		return r, nil
	}
	if !r.continent.IsKnown() {
		r.continent = ContinentOf(r.country)
	}
	n := 0
	for _, part := range f.subdivisions {
		if isSubdivisionPart(part) {
			if r.subdivisions[n], err = intern(subdivisionOf(r.country, part)); err != nil {
				return record{}, err
			}
			n++
		}
	}
	return r, nil
}
