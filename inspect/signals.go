package inspect

import (
	"encoding/base64"
	"strings"

	"github.com/caddy-drm/caddy-drm/drm"
)

// explainPsshs explains boxes that stand one behind the other.
func explainPsshs(w *writer, b []byte) error {
	boxes, err := drm.ParsePsshs(b)
	if err != nil {
		return err
	}
	for _, box := range boxes {
		explainPssh(w, box)
	}
	return nil
}

// explainPssh explains one box. What its data should be and is not is part of the explanation.
func explainPssh(w *writer, box drm.Pssh) {
	w.line("pssh of %s (%s), version %d, %s of data", box.System.Name(), box.System, box.Version, plural(len(box.Data), "byte"))
	w.below(func() {
		for _, kid := range box.KIDs {
			w.line("KID %s", kid)
		}
		switch box.System {
		case drm.SystemWidevine:
			explainWidevine(w, box.Data)
		case drm.SystemPlayReady:
			if err := explainPlayReady(w, box.Data); err != nil {
				w.fault("%v", err)
			}
		case drm.SystemCommon:
			if len(box.Data) > 0 {
				w.fault("the box of the common system holds no data (EME)")
			}
			if box.Version == 0 || len(box.KIDs) == 0 {
				w.fault("the box of the common system lists its KIDs, in version 1")
			}
		}
	})
}

func explainWidevine(w *writer, data []byte) {
	init, err := drm.ParseWidevineInit(data)
	if err != nil {
		w.fault("%v", err)
		return
	}
	for _, kid := range init.KIDs {
		w.line("key_id %s", kid)
	}
	if init.Scheme.Valid() {
		w.line("protection_scheme %s", init.Scheme)
	}
	if init.OtherScheme != "" {
		w.line("protection_scheme %s, which this gateway does not know", printable(init.OtherScheme))
	}
	if init.Provider != "" {
		w.line("provider %s", printable(init.Provider))
	}
	if len(init.ContentID) > 0 {
		w.line("content_id %s", printable(string(init.ContentID)))
	}
	if init.Policy != "" {
		w.line("policy %s", printable(init.Policy))
	}
	if init.Rotates {
		w.line("crypto_period_index %d", init.CryptoPeriodIndex)
	}
	if init.CryptoPeriodSeconds > 0 {
		w.line("crypto_period_seconds %d", init.CryptoPeriodSeconds)
	}
	if len(init.KIDs) == 0 && len(init.ContentID) == 0 {
		w.line("it names neither a key nor a title: a license server cannot know what is asked for")
	}
}

// explainPlayReady explains a PlayReady Object.
func explainPlayReady(w *writer, object []byte) error {
	records, err := drm.ParsePlayReadyObject(object)
	if err != nil {
		return err
	}
	w.line("PlayReady Object of %s, %s", plural(len(object), "byte"), plural(len(records), "record"))
	for _, record := range records {
		w.below(func() {
			switch {
			case record.IsHeader():
				explainPlayReadyHeader(w, record.Value)
			case record.IsLicenseStore():
				w.line("embedded license store of %s", plural(len(record.Value), "byte"))
			default:
				w.line("record of type %d, %s", record.Type, plural(len(record.Value), "byte"))
			}
		})
	}
	return nil
}

func explainPlayReadyHeader(w *writer, value []byte) {
	h, err := drm.ParsePlayReadyHeader(value)
	if err != nil {
		w.fault("%v", err)
		return
	}
	scheme := "no ALGID"
	if h.Scheme.Valid() {
		scheme = h.Scheme.String()
	}
	w.line("header %s, %s", h.Version, scheme)
	w.below(func() {
		for _, key := range h.Keys {
			sum := "without checksum"
			if key.Checksum != nil {
				sum = "checksum " + base64.StdEncoding.EncodeToString(key.Checksum)
			}
			w.line("KID %s, %s", key.KID, sum)
		}
		for _, url := range [...]struct{ name, text string }{{"LA_URL", h.LicenseURL}, {"LUI_URL", h.LicensePageURL}} {
			if url.text != "" {
				w.line("%s %s", url.name, withoutQuery(url.text))
			}
		}
		if h.ServiceID != "" {
			w.line("DS_ID %s", printable(h.ServiceID))
		}
	})
}

// explainData explains base64 that a manifest gives to a system.
func explainData(w *writer, text string) {
	data, err := decodeBase64(strings.TrimSpace(text))
	switch {
	case err != nil:
		w.fault("not base64")
	case isPlayReadyObject(data):
		if err := explainPlayReady(w, data); err != nil {
			w.fault("%v", err)
		}
	default:
		if err := explainPsshs(w, data); err != nil {
			w.fault("%v", err)
		}
	}
}
