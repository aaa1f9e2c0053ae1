package inspect

import (
	"fmt"

	"github.com/Eyevinn/mp4ff/mp4"
)

// looksOf returns the name by which evidence judges samples: the sample entry, but for an mp4a of other codecs than AAC that its entry
// names in its esds, as RFC 6381, 3.3 spells it.
func looksOf(format string, entry mp4.Box) string {
	audio, ok := entry.(*mp4.AudioSampleEntryBox)
	if format != "mp4a" || !ok || audio.Esds == nil || audio.Esds.DecConfigDescriptor == nil {
		return format
	}
	config := audio.Esds.DecConfigDescriptor
	var specific []byte
	if config.DecSpecificInfo != nil {
		specific = config.DecSpecificInfo.DecConfig
	}
	return looksOfMP4A(config.ObjectType, specific)
}

// looksOfMP4A is mp4a if samples are raw_data_blocks, which begin with the name of an element: of AAC Main, LC, SSR and LTP, also under
// SBR and PS (14496-3, 1.5.1.1 and 4.4.2.1). Those of MPEG-2 have no other profiles.
func looksOfMP4A(objectType byte, specific []byte) string {
	const mpeg4Audio, mpeg2AAC, mpeg2AACLast, escape = 0x40, 0x66, 0x68, 31
	switch {
	case objectType >= mpeg2AAC && objectType <= mpeg2AACLast:
		return "mp4a"
	case objectType != mpeg4Audio || len(specific) < 2:
		return fmt.Sprintf("mp4a.%02X", objectType)
	}
	audioObjectType := int(specific[0] >> 3)
	if audioObjectType == escape {
		audioObjectType = 32 + int(specific[0]&7)<<3 + int(specific[1]>>5)
	}
	switch audioObjectType {
	case 1, 2, 3, 4, 5, 29:
		return "mp4a"
	}
	return fmt.Sprintf("mp4a.40.%d", audioObjectType)
}
