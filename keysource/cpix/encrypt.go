package cpix

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // RSA-OAEP-MGF1P of xmlenc is defined with SHA-1; no collision helps against OAEP
	"crypto/sha512"
	"crypto/subtle"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"strings"

	"github.com/caddy-drm/caddy-drm/drm"
)

// MinRSABits is the least size of the keys of recipients, maxRSABits keeps a document from making us compute for long.
const (
	MinRSABits = 2048
	maxRSABits = 8192
)

// Algorithms of CPIX 6.3.
const (
	algorithmAES256CBC  = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"
	algorithmRSAOAEP    = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"
	algorithmHMACSHA512 = "http://www.w3.org/2001/04/xmldsig-more#hmac-sha512"
)

// Sizes in bytes. xmldsig-more does not fix that of a MAC key; CPIX takes as many as the hash has.
const (
	documentKeySize = 32
	minMACKeySize   = 32
)

// unwrapper holds the keys of a document that are addressed to us. They are functions so that no print finds them.
type unwrapper struct {
	mac func() []byte
	// documentKeys are by the KID that they encrypt; that of the zero KID encrypts all others.
	documentKeys map[drm.KID]func() []byte
}

// delivery reads the recipients, and unwraps what is addressed to our key.
func (p *parser) delivery() error {
	nodes, err := p.root.list("DeliveryDataList", "DeliveryData")
	if err != nil {
		return err
	}
	for _, n := range nodes {
		der, err := n.descend(xml.Name{Space: nsCPIX, Local: "DeliveryKey"}, xml.Name{Space: nsDSig, Local: "X509Data"},
			xml.Name{Space: nsDSig, Local: "X509Certificate"})
		if err != nil {
			return err
		}
		if der == nil {
			return n.errorf("no DeliveryKey with a certificate")
		}
		b, err := der.bytes()
		if err != nil {
			return err
		}
		certificate, err := parseCertificate(b)
		if err != nil {
			return der.errorf("%w", err)
		}
		p.d.Recipients = append(p.d.Recipients, certificate)
		if key := p.options.PrivateKey; key != nil && key.PublicKey.Equal(certificate.PublicKey) && p.unwrap == nil {
			if err := p.readDelivery(n, key); err != nil {
				return err
			}
		}
	}
	return nil
}

// readDelivery unwraps the keys of one DeliveryData. A request has none.
func (p *parser) readDelivery(n *node, key *rsa.PrivateKey) error {
	u := &unwrapper{documentKeys: make(map[drm.KID]func() []byte)}
	for _, c := range n.children {
		if c.is(nsCPIX, "DocumentKey") {
			if err := u.readDocumentKey(c, key); err != nil {
				return err
			}
		}
	}
	method, err := n.child(nsCPIX, "MACMethod")
	if err != nil {
		return err
	}
	if method != nil {
		if algorithm, _ := method.attribute("Algorithm"); algorithm != algorithmHMACSHA512 {
			return method.errorf("@Algorithm is not %s", algorithmHMACSHA512)
		}
		wrapped, err := method.child(nsPSKC, "MACKey")
		if wrapped == nil && err == nil { // as SPEKE and most tools write it
			wrapped, err = method.child(nsCPIX, "Key")
		}
		if err != nil {
			return err
		}
		if wrapped == nil {
			return method.errorf("no MACKey")
		}
		mac, err := unwrapRSA(wrapped, key)
		if err != nil {
			return err
		}
		if len(mac) < minMACKeySize {
			return wrapped.errorf("the MAC key has %d bytes, want at least %d", len(mac), minMACKeySize)
		}
		u.mac = func() []byte { return mac }
	}
	if len(u.documentKeys) > 0 {
		p.unwrap = u
	}
	return nil
}

func (u *unwrapper) readDocumentKey(n *node, key *rsa.PrivateKey) error {
	// CPIX 2.4 has no @Algorithm here: each key says itself how it is encrypted.
	if algorithm, ok := n.attribute("Algorithm"); ok && algorithm != algorithmAES256CBC {
		return n.errorf("@Algorithm is not %s", algorithmAES256CBC)
	}
	secret, err := secretOf(n)
	if err != nil {
		return err
	}
	if secret == nil {
		return n.errorf("no Data with a Secret")
	}
	wrapped, err := secret.child(nsPSKC, "EncryptedValue")
	if err != nil {
		return err
	}
	if wrapped == nil {
		return secret.errorf("no EncryptedValue")
	}
	value, err := unwrapRSA(wrapped, key)
	if err != nil {
		return err
	}
	if len(value) != documentKeySize {
		return wrapped.errorf("the document key has %d bytes, want %d", len(value), documentKeySize)
	}
	kids := []drm.KID{{}}
	if text, ok := n.attribute("encryptsKey"); ok { // CPIX 2.4 has several, and says which is for what
		kids = nil
		for word := range strings.FieldsSeq(text) {
			kid, err := drm.ParseKID(word)
			if err != nil || kid.IsZero() {
				return n.errorf("@encryptsKey is not a list of UUIDs")
			}
			kids = append(kids, kid)
		}
	}
	for _, kid := range kids {
		if u.documentKeys[kid] != nil {
			return n.errorf("another document key for the same content keys")
		}
		u.documentKeys[kid] = func() []byte { return value }
	}
	return nil
}

// unwrapRSA decrypts an element of xmlenc's EncryptedDataType.
func unwrapRSA(n *node, key *rsa.PrivateKey) ([]byte, error) {
	wrapped, err := cipherValue(n, algorithmRSAOAEP)
	if err != nil {
		return nil, err
	}
	b, err := rsa.DecryptOAEP(sha1.New(), nil, key, wrapped, nil) //nolint:gosec // see the import
	if err != nil {
		return nil, n.errorf("it cannot be unwrapped with our private key")
	}
	return b, nil
}

// cipherValue returns the bytes of an element that says with which algorithm they were encrypted.
func cipherValue(n *node, algorithm string) ([]byte, error) {
	method, err := n.child(nsEnc, "EncryptionMethod")
	if err != nil {
		return nil, err
	}
	if method == nil {
		return nil, n.errorf("no EncryptionMethod")
	}
	if text, _ := method.attribute("Algorithm"); text != algorithm {
		return nil, method.errorf("@Algorithm is not %s", algorithm)
	}
	value, err := n.descend(xml.Name{Space: nsEnc, Local: "CipherData"}, xml.Name{Space: nsEnc, Local: "CipherValue"})
	if err != nil {
		return nil, err
	}
	if value == nil {
		return nil, n.errorf("no CipherData with a CipherValue")
	}
	return value.bytes()
}

// value decrypts a content key, once its MAC has proven that nobody changed it: an unproven one could be traded for another, and
// its padding would answer questions about the key (CPIX 6.3.3).
func (u *unwrapper) value(kid drm.KID, secret, encrypted *node) ([]byte, error) {
	b, err := cipherValue(encrypted, algorithmAES256CBC)
	if err != nil {
		return nil, err
	}
	valueMAC, err := secret.child(nsPSKC, "ValueMAC")
	if err != nil {
		return nil, err
	}
	if valueMAC == nil || u.mac == nil {
		return nil, secret.errorf("the encrypted key has no ValueMAC, or the document no MACMethod")
	}
	want, err := valueMAC.bytes()
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(want, macOf(u.mac(), b)) != 1 {
		return nil, valueMAC.errorf("the MAC is wrong")
	}
	key := u.documentKeys[kid]
	if key == nil {
		key = u.documentKeys[drm.KID{}]
	}
	if key == nil {
		return nil, encrypted.errorf("no document key encrypts this key")
	}
	plain, err := decryptCBC(key(), b)
	if err != nil {
		return nil, encrypted.errorf("%w", err)
	}
	return plain, nil
}

func macOf(key, cipherValue []byte) []byte {
	mac := hmac.New(sha512.New, key)
	mac.Write(cipherValue)
	return mac.Sum(nil)
}

var errCipherText = errors.New("not an encrypted key of 16 bytes")

// decryptCBC takes IV ‖ ciphertext apart (xmlenc 5.2). Of the padding only the last byte counts, which is its length.
func decryptCBC(key, b []byte) ([]byte, error) {
	if len(b) != 3*aes.BlockSize {
		return nil, errCipherText
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, errCipherText
	}
	plain := make([]byte, 2*aes.BlockSize)
	cipher.NewCBCDecrypter(block, b[:aes.BlockSize]).CryptBlocks(plain, b[aes.BlockSize:])
	if pad := int(plain[len(plain)-1]); pad != aes.BlockSize {
		return nil, errCipherText
	}
	return plain[:drm.KeySize], nil
}

// encryptCBC is the other direction, with an IV of its own for each key.
func encryptCBC(key, secret []byte) []byte {
	out := make([]byte, 3*aes.BlockSize)
	_, _ = rand.Read(out[:aes.BlockSize]) // never fails
	plain := make([]byte, 2*aes.BlockSize)
	copy(plain, secret)
	for i := aes.BlockSize; i < len(plain); i++ {
		plain[i] = aes.BlockSize
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("cpix: a document key has 32 bytes")
	}
	cipher.NewCBCEncrypter(block, out[:aes.BlockSize]).CryptBlocks(out[aes.BlockSize:], plain)
	return out
}

// wrapping holds the keys under which a document is written.
type wrapping struct {
	documentKey, macKey []byte
}

func newWrapping() wrapping {
	w := wrapping{documentKey: make([]byte, documentKeySize), macKey: make([]byte, sha512.Size)}
	_, _ = rand.Read(w.documentKey) // never fails
	_, _ = rand.Read(w.macKey)
	return w
}

// wrapRSA encrypts a key to a recipient.
func wrapRSA(recipient *x509.Certificate, key []byte) ([]byte, error) {
	public, ok := recipient.PublicKey.(*rsa.PublicKey)
	if !ok || public.N.BitLen() < MinRSABits {
		return nil, errNoCertificate
	}
	return rsa.EncryptOAEP(sha1.New(), rand.Reader, public, key, nil) //nolint:gosec // see the import
}
