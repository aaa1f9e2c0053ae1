package inspect

import (
	"encoding/binary"
	"fmt"
)

// Bounds of what is handed to the parser, which allocates by the counts that it reads: no fragment has as many samples, and no tree of boxes
// is as deep.
const (
	maxEntries = 1 << 20
	maxDepth   = 16
)

// containers are the boxes that hold nothing but boxes, on the way to those that count.
var containers = map[string]bool{
	"moov": true, "trak": true, "mdia": true, "minf": true, "stbl": true, "mvex": true, "edts": true, "moof": true, "traf": true, "mfra": true,
}

// checkBoxes walks the boxes, so that no length leads out of its surroundings and no count is beyond reason.
func checkBoxes(b []byte, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("boxes lie more than %d deep", maxDepth)
	}
	for at := 0; at < len(b); {
		rest := b[at:]
		if len(rest) < 8 {
			return fmt.Errorf("a box header breaks off at byte %d", at)
		}
		size, header := uint64(binary.BigEndian.Uint32(rest)), uint64(8)
		if size == 1 && len(rest) >= 16 {
			size, header = binary.BigEndian.Uint64(rest[8:]), 16
		}
		kind := string(rest[4:8])
		if size < header || size > uint64(len(rest)) {
			return fmt.Errorf("the box %q at byte %d has %d bytes, of which %d are there", kind, at, size, len(rest))
		}
		payload := rest[header:size]
		if containers[kind] {
			if err := checkBoxes(payload, depth+1); err != nil {
				return fmt.Errorf("%s: %w", kind, err)
			}
		} else if count, ok := entryCount(kind, payload); ok && count > maxEntries {
			return fmt.Errorf("the box %q at byte %d counts %d entries: want at most %d", kind, at, count, maxEntries)
		}
		at += int(size)
	}
	return nil
}

// countOffsets are where a full box counts its entries, from its version on, if no flag and no version moves that.
var countOffsets = map[string]int{
	"senc": 4, "trun": 4, "stts": 4, "ctts": 4, "stss": 4, "stco": 4, "co64": 4, "stsc": 4, "elst": 4, "subs": 4, "dref": 4, "stsd": 4, "ssix": 4,
	"stsz": 8, "stz2": 8, "saiz": 5, "saio": 4, "sbgp": 8, "sgpd": 8, "tfra": 12, "pssh": 20,
}

// entryCount reads how many entries a box says that it has.
func entryCount(kind string, payload []byte) (uint32, bool) {
	if kind == "uuid" && len(payload) > 16 { // PIFF has senc and others in it
		kind, payload = "senc", payload[16:]
	}
	at, ok := countOffsets[kind]
	if !ok || len(payload) < 4 {
		return 0, false
	}
	version, flags := payload[0], payload[3]
	switch kind {
	case "saiz", "saio":
		if flags&1 != 0 { // aux_info_type and its parameter
			at += 8
		}
	case "sbgp", "sgpd":
		if version > 0 { // grouping_type_parameter, default_length
			at += 4
		}
	case "senc":
		if flags&1 != 0 { // of PIFF: algorithm, IV size and KID
			at += 20
		}
	case "pssh":
		if version == 0 {
			return 0, false
		}
	}
	if len(payload) < at+4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(payload[at:]), true
}
