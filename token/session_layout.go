package token

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"time"
)

// appendSession expects normalized claims, whose sizes fit the length fields.
func appendSession(b []byte, c Claims, expires uint32) ([]byte, error) {
	b = append(b, sessionVersion)
	b = binary.BigEndian.AppendUint32(b, expires)
	var digest [idDigestBytes]byte // all zero: the token had no ID
	_, _ = hex.Decode(digest[:], []byte(c.IDDigest()))
	b = append(b, digest[:]...)
	b = appendText(b, c.Subject)
	b = append(b, byte(len(c.Scope)))
	for _, prefix := range c.Scope {
		b = binary.BigEndian.AppendUint16(b, uint16(len(prefix)))
		b = append(b, prefix...)
	}
	b = appendTexts(b, c.Hosts)
	b = append(b, byte(len(c.Countries)))
	for _, country := range c.Countries {
		b = append(b, country...)
	}
	return appendSessionRights(b, c)
}

func appendSessionRights(b []byte, c Claims) ([]byte, error) {
	if !c.hasRights() {
		return b, nil
	}
	b = append(append(b, c.Playback[:]...), c.Binding[:]...)
	b = appendTexts(appendTexts(b, c.Plans), c.Purchases)
	b = appendText(appendText(b, c.Device), c.HomeCountry)
	b = append(b, byte(c.MaxStreams), byte(slices.Index(levels, c.Level)))
	lengthAt := len(b)
	b = append(b, 0, 0)
	if c.Conditions == nil {
		return b, nil
	}
	b, err := c.Conditions.AppendBinary(b)
	if err != nil {
		return nil, err
	}
	length := len(b) - lengthAt - 2
	if length == 0 || length > math.MaxUint16 {
		return nil, errors.New("the conditions of the token cannot be carried by a session")
	}
	binary.BigEndian.PutUint16(b[lengthAt:], uint16(length))
	return b, nil
}

func (c Claims) hasRights() bool {
	return c.Playback != [8]byte{} || c.Binding != [8]byte{} || len(c.Plans)+len(c.Purchases) > 0 || c.Device != "" ||
		c.HomeCountry != "" || c.MaxStreams != 0 || c.Level != "" || c.Conditions != nil
}

func appendText(b []byte, text string) []byte { return append(append(b, byte(len(text))), text...) }

func appendTexts(b []byte, texts []string) []byte {
	b = append(b, byte(len(texts)))
	for _, text := range texts {
		b = appendText(b, text)
	}
	return b
}

// parse reads a body whose MAC fits. There is one form for each session: rights that are all empty are not left in.
func (k *SessionKey) parse(b []byte) (Claims, error) {
	r := NewReader(b[1:])
	c := Claims{Session: true}
	c.Expires = time.Unix(int64(r.Uint(4)), 0)
	digest := r.Take(idDigestBytes)
	if len(digest) == idDigestBytes && [idDigestBytes]byte(digest) != [idDigestBytes]byte{} {
		c.ID = hex.EncodeToString(digest)
	}
	c.Subject = r.text()
	for range r.Uint(1) {
		c.Scope = append(c.Scope, string(r.Take(r.Uint(2))))
	}
	c.Hosts = r.texts()
	for range r.Uint(1) {
		c.Countries = append(c.Countries, string(r.Take(2)))
	}
	if r.Left() > 0 {
		if err := k.parseRights(r, &c); err != nil {
			return Claims{}, err
		}
	}
	if !r.Whole() {
		return Claims{}, errors.New("lengths that do not add up")
	}
	if err := c.normalize(); err != nil {
		return Claims{}, err
	}
	return c, nil
}

func (k *SessionKey) parseRights(r *Reader, c *Claims) (err error) {
	copy(c.Playback[:], r.Take(len(c.Playback)))
	copy(c.Binding[:], r.Take(len(c.Binding)))
	c.Plans, c.Purchases = r.texts(), r.texts()
	c.Device, c.HomeCountry = r.text(), r.text()
	c.MaxStreams = r.Uint(1)
	level := r.Uint(1)
	conditions := r.Take(r.Uint(2))
	switch {
	case r.IsCut():
		return nil // the caller says so
	case level >= len(levels):
		return errors.New("an unknown level")
	case len(conditions) > 0 && k.config.ParseConditions == nil:
		return errors.New("conditions that nobody here understands")
	}
	c.Level = levels[level]
	if len(conditions) > 0 {
		if c.Conditions, err = k.config.ParseConditions(conditions); err != nil {
			return err
		}
	}
	if !c.hasRights() {
		return errors.New("empty rights")
	}
	return nil
}
