package cpix

import (
	"crypto/x509"
	"testing"
	"time"
)

// TestByteOrderMark: tools on Windows write one in front of UTF-8, and XML allows for it (XML 1.0, 4.3.3).
func TestByteOrderMark(t *testing.T) {
	const mark = "\ufeff"
	mustParse(t, mark+wrap(twoKeys()), ParseOptions{})
	mustParse(t, mark+string(readFile(t, "signed.xml")), ParseOptions{
		PrivateKey: recipientKey(t), Signers: []*x509.Certificate{testCertificate(t, "signer.pem")}, Now: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC),
	})
	checkRefused(t, mark+mark+wrap(twoKeys()), ParseOptions{})
}
