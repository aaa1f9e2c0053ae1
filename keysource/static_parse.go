package keysource

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/caddy-drm/caddy-drm/drm"
)

// maxStaticSize bounds a key list, in bytes: some 20,000 keys.
const maxStaticSize = 4 << 20

// labelStaticIV separates the IVs of lists without one from every other hash of a KID.
const labelStaticIV = "caddy-drm static constant iv v1"

// ParseStatic reads a key list, at most 4 MiB of JSON, in one of two forms. The object form:
//
//	{"keys":[{
//		"kid":        "32 hexadecimal digits, with or without the hyphens of a UUID",
//		"key":        "16 bytes as hexadecimal digits or base64",
//		"iv":         "likewise; the constant IV of cbcs",            (derived from the KID)
//		"scheme":     "cenc", "cbcs" or "aes-128",                    (StaticOptions.Scheme)
//		"asset":      "/vod/demo/" or "/vod/*",                       (every asset)
//		"class":      "ALL", "AUDIO", "SD", "HD", "UHD1" or "UHD2",   (ALL: every class)
//		"period":     0,                                              (every period: the key does not rotate)
//		"generation": 0,                                              (0)
//		"pssh":       [{"uuid":"system ID","data":"base64"}]          (none)
//	}]}
//
// Behind each optional member stands in brackets what its absence means. An emergency re-key asks for the next generation, so
// it needs an entry that names it: the key that leaked never serves on.
//
// The array form is the answer of a key server to nginx-vod-module, one element that serves every asset and class:
//
//	[{"key_id":"base64","key":"base64","iv":"base64","pssh":[{"uuid":"system ID","data":"base64"}]}]
//
// Without "iv" the constant IV is the first 16 bytes of SHA-256("caddy-drm static constant iv v1" ‖ KID): fixed, as it has to
// be, and not secret, as IVs are not.
//
// Refused with the path of the member, and never its value: unknown members and members named twice, keys and IVs that are not
// 16 bytes, zero keys and KIDs, one KID or one key in two entries (so cenc and cbcs cannot share one), and two entries
// that serve the same.
func ParseStatic(data []byte, options StaticOptions) (*Static, error) {
	s, err := parseStatic(data, options)
	if err != nil {
		return nil, fmt.Errorf("reading key list: %w", err)
	}
	return s, nil
}

func parseStatic(data []byte, options StaticOptions) (*Static, error) {
	if len(data) > maxStaticSize {
		return nil, fmt.Errorf("more than %d bytes", maxStaticSize)
	}
	root, err := readStrictJSON(data)
	if err != nil {
		return nil, err
	}
	list, path, parseEntry := root, "", parseArrayMember
	if members, ok := root.([]jsonMember); ok {
		if len(members) != 1 || members[0].name != "keys" {
			return nil, errors.New(`want an object with the one member "keys", or an array`)
		}
		list, path, parseEntry = members[0].value, "keys", parseObjectMember
	}
	elements, ok := list.([]any)
	if !ok {
		return nil, errors.New("the list of keys is not an array")
	}
	if len(elements) == 0 {
		return nil, errors.New("the list of keys is empty")
	}
	entries := make([]*staticEntry, len(elements))
	for i, element := range elements {
		at := path + "[" + strconv.Itoa(i) + "]"
		if entries[i], err = parseStaticEntry(element, at, options, parseEntry); err != nil {
			return nil, err
		}
	}
	s, err := newStatic(entries, path)
	if err != nil {
		return nil, err
	}
	s.array = path == ""
	return s, nil
}

// newStatic checks the entries against each other and sorts them for look-up.
func newStatic(entries []*staticEntry, path string) (*Static, error) {
	s := &Static{exact: make(map[string][]*staticEntry), pssh: make(map[drm.KID][]SystemData)}
	kids := make(map[drm.KID]int, len(entries))
	secrets := make(map[[drm.KeySize]byte]int, len(entries))
	served := make(map[serves]int, len(entries))
	for i, e := range entries {
		key := e.key()
		if j, ok := kids[key.KID()]; ok {
			return nil, fmt.Errorf("%s[%d]: the KID of %s[%d] again", path, i, path, j)
		}
		if j, ok := secrets[key.Secret()]; ok {
			return nil, fmt.Errorf("%s[%d]: the key of %s[%d] again", path, i, path, j)
		}
		if j, ok := served[e.serves]; ok {
			return nil, fmt.Errorf("%s[%d]: serves the same as %s[%d]", path, i, path, j)
		}
		kids[key.KID()], secrets[key.Secret()], served[e.serves] = i, i, i
		s.split = s.split || e.class != drm.ClassShared
		if e.prefix {
			s.prefixes = append(s.prefixes, e)
		} else {
			s.exact[e.asset] = append(s.exact[e.asset], e)
		}
		if len(e.pssh) > 0 {
			s.pssh[key.KID()] = e.pssh
		}
	}
	return s, nil
}

// entryFields are the members of one entry as they are read.
type entryFields struct {
	kid     drm.KID
	key, iv []byte
	entry   staticEntry
}

func parseStaticEntry(element any, path string, options StaticOptions, parseMember func(*entryFields, jsonMember) error) (*staticEntry, error) {
	members, ok := element.([]jsonMember)
	if !ok {
		return nil, fmt.Errorf("%s: not an object", path)
	}
	f := entryFields{entry: staticEntry{serves: serves{
		prefix: true, class: drm.ClassShared, scheme: options.Scheme, anyPeriod: true,
	}}}
	for _, m := range members {
		if err := parseMember(&f, m); err != nil {
			return nil, fmt.Errorf("%s: %w", joinPath(path, m.name), err)
		}
	}
	switch {
	case f.kid.IsZero():
		return nil, fmt.Errorf("%s: no KID", path)
	case f.key == nil:
		return nil, fmt.Errorf("%s: no key", path)
	case !f.entry.scheme.Valid():
		return nil, fmt.Errorf("%s: no scheme, and none is configured for the list", path)
	case f.iv == nil:
		iv := ConstantIV(f.kid)
		f.iv = iv[:]
	}
	key, err := drm.NewContentKey(f.kid, f.key, f.iv)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f.entry.key = func() drm.ContentKey { return key }
	return &f.entry, nil
}

var errUnknownMember = errors.New("unknown member")

func parseArrayMember(f *entryFields, m jsonMember) (err error) {
	switch m.name {
	case "key_id":
		var b []byte
		if b, err = parse16(m.value); err == nil {
			f.kid = drm.KID(b)
		}
	case "key":
		f.key, err = parseKeyBytes(m.value)
	case "iv":
		f.iv, err = parse16(m.value)
	case "pssh":
		f.entry.pssh, err = parsePsshList(m.value)
	default:
		return errUnknownMember
	}
	return err
}

func parseObjectMember(f *entryFields, m jsonMember) (err error) {
	e := &f.entry
	switch m.name {
	case "kid":
		var text string
		if text, err = parseText(m.value); err == nil {
			f.kid, err = drm.ParseKID(text)
		}
	case "asset":
		e.asset, e.prefix, err = parseAssetPattern(m.value)
	case "class":
		e.class, err = parseNamed(m.value, drm.ParseTrackClass, "want ALL, AUDIO, SD, HD, UHD1 or UHD2")
	case "scheme":
		e.scheme, err = parseNamed(m.value, drm.ParseProtectionScheme, "want cenc, cbcs or aes-128")
	case "period":
		e.anyPeriod = false
		e.period, err = parseUint32(m.value)
	case "generation":
		e.generation, err = parseUint32(m.value)
	case "key_id": // of the array form
		return errUnknownMember
	default:
		return parseArrayMember(f, m)
	}
	return err
}

func parseText(v any) (string, error) {
	text, ok := v.(string)
	if !ok {
		return "", errors.New("not a string")
	}
	return text, nil
}

// parseNamed reads a word with parse. The error of parse would quote the text, so want stands in for it.
func parseNamed[T any](v any, parse func(string) (T, error), want string) (T, error) {
	var none T
	text, err := parseText(v)
	if err != nil {
		return none, err
	}
	value, err := parse(text)
	if err != nil {
		return none, errors.New(want)
	}
	return value, nil
}

func parseUint32(v any) (uint32, error) {
	number, ok := v.(json.Number)
	if !ok {
		return 0, errors.New("not a number")
	}
	n, err := strconv.ParseUint(number.String(), 10, 32)
	if err != nil {
		return 0, errors.New("not a whole number below 2^32")
	}
	return uint32(n), nil
}

// parseAssetPattern reads an asset, or its beginning with * behind it.
func parseAssetPattern(v any) (asset string, prefix bool, err error) {
	text, err := parseText(v)
	if err != nil {
		return "", false, err
	}
	asset, prefix = strings.CutSuffix(text, "*")
	if text == "" || strings.Contains(asset, "*") {
		return "", false, errors.New("want an asset, or its beginning and one * at the end")
	}
	return asset, prefix, nil
}

// parse16 reads 16 bytes: 32 hexadecimal digits, or base64 in either alphabet, padded or not.
func parse16(v any) ([]byte, error) {
	text, err := parseText(v)
	if err != nil {
		return nil, err
	}
	b, err := hex.DecodeString(text)
	if err != nil {
		if b, err = decodeBase64(text); err != nil {
			return nil, errors.New("neither hexadecimal nor base64")
		}
	}
	if len(b) != drm.KeySize {
		return nil, fmt.Errorf("%d bytes, want %d", len(b), drm.KeySize)
	}
	return b, nil
}

func parseKeyBytes(v any) ([]byte, error) {
	b, err := parse16(v)
	if err != nil {
		return nil, err
	}
	if [drm.KeySize]byte(b) == ([drm.KeySize]byte{}) {
		return nil, errors.New("all bytes are zero")
	}
	return b, nil
}

func decodeBase64(text string) ([]byte, error) {
	bare := strings.TrimRight(text, "=")
	if pad := len(text) - len(bare); pad > 0 && (len(text)%4 != 0 || pad > 2) || strings.ContainsAny(bare, "\r\n") {
		return nil, base64.CorruptInputError(len(bare))
	}
	if strings.ContainsAny(bare, "-_") {
		return base64.RawURLEncoding.Strict().DecodeString(bare)
	}
	return base64.RawStdEncoding.Strict().DecodeString(bare)
}

// parsePsshList reads [{"uuid":…,"data":…}].
func parsePsshList(v any) ([]SystemData, error) {
	elements, ok := v.([]any)
	if !ok {
		return nil, errors.New("not an array")
	}
	list := make([]SystemData, len(elements))
	for i, element := range elements {
		var err error
		if list[i], err = parseSystemData(element); err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return list, nil
}

func parseSystemData(element any) (SystemData, error) {
	members, ok := element.([]jsonMember)
	if !ok {
		return SystemData{}, errors.New("not an object")
	}
	var d SystemData
	for _, m := range members {
		text, err := parseText(m.value)
		if err != nil {
			return SystemData{}, fmt.Errorf("%s: %w", joinPath("", m.name), err)
		}
		switch m.name {
		case "uuid":
			id, err := drm.ParseKID(text)
			if err != nil {
				return SystemData{}, errors.New("uuid: not a UUID")
			}
			d.System = drm.SystemID(id)
		case "data":
			if d.Data, err = decodeBase64(text); err != nil {
				return SystemData{}, errors.New("data: not base64")
			}
		default:
			return SystemData{}, fmt.Errorf("%s: %w", joinPath("", m.name), errUnknownMember)
		}
	}
	if d.System == (drm.SystemID{}) || d.Data == nil {
		return SystemData{}, errors.New("uuid and data are both needed")
	}
	return d, nil
}
