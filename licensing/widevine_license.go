package licensing

import "encoding/binary"

// Numbers of the messages with which a Widevine license server answers: SignedMessage, License and LicenseIdentification, which also stands in
// renewals.
const (
	typeLicense = 2

	licenseID = 1

	idRequest = 1
	idSession = 2
	idType    = 4
)

// WidevineLicenseID returns the name of the license in an answer of a Widevine license server, by which requests for its renewal call it, too
// (Challenge.LicenseID). It is what the server and the device call the license, of any length, and no secret. Empty: the answer is no
// license, or does not say.
func WidevineLicenseID(answer []byte) string {
	signed, err := onceEach(answer)
	if err != nil || signed[signedType].value != typeLicense {
		return ""
	}
	id := []byte(nil)
	// A license holds its keys one beside the other, so that its fields may stand twice.
	err = eachField(signed[signedMessage].bytes, func(f wireField) error {
		if f.number != licenseID {
			return nil
		}
		if id != nil {
			return errTwice
		}
		id = f.bytes
		return nil
	})
	if err != nil {
		return ""
	}
	return nameOfLicense(id)
}

// nameOfLicense joins what of a LicenseIdentification stays the same from one renewal to the next: the request that the license was first an
// answer to, and its session. The version counts the renewals.
func nameOfLicense(identification []byte) string {
	id, err := onceEach(identification)
	if err != nil || len(id[idRequest].bytes)+len(id[idSession].bytes) == 0 {
		return ""
	}
	name := binary.AppendUvarint(nil, uint64(len(id[idRequest].bytes)))
	return string(append(append(name, id[idRequest].bytes...), id[idSession].bytes...))
}
