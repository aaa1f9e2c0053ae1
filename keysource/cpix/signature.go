package cpix

import (
	"crypto/x509"
	"strings"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// weakAlgorithms are hashes that signatures of key documents may not be made with.
var weakAlgorithms = []string{"sha1", "md5"}

// verifySignature returns the tree of what is signed: the document without its signature. data has been read by readTree, so that its size
// and depth are bounded. Only a signature over the whole document counts; those over single lists, which CPIX allows too, leave open
// what stands beside them.
func verifySignature(data []byte, root *node, signers []*x509.Certificate, now time.Time) (*node, error) {
	if usesWeakAlgorithm(root) {
		return nil, ErrSignature
	}
	document := etree.NewDocument()
	if err := document.ReadFromBytes(data); err != nil {
		return nil, ErrSignature
	}
	context := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: signers})
	context.IdAttribute = "id"
	context.Clock = dsig.NewFakeClockAt(now)
	signed, err := context.Validate(document.Root())
	if err != nil {
		return nil, ErrSignature
	}
	whole := etree.NewDocument()
	whole.SetRoot(signed)
	text, err := whole.WriteToBytes()
	if err != nil {
		return nil, ErrSignature
	}
	tree, err := readTree(text)
	if err != nil {
		return nil, err
	}
	if !tree.is(nsCPIX, "CPIX") {
		return nil, ErrSignature
	}
	return tree, nil
}

func usesWeakAlgorithm(n *node) bool {
	if n.space == nsDSig && (n.name == "SignatureMethod" || n.name == "DigestMethod") {
		algorithm, _ := n.attribute("Algorithm")
		for _, weak := range weakAlgorithms {
			if strings.Contains(strings.ToLower(algorithm), weak) {
				return true
			}
		}
	}
	for _, c := range n.children {
		if usesWeakAlgorithm(c) {
			return true
		}
	}
	return false
}
