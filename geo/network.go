package geo

import "strings"

// Network is what kind of network an address belongs to, as a set of marks. The zero value is not known.
type Network uint8

// The marks. A network may have several: a VPN is also an anonymous network, and often in a hosting center.
const (
	// NetworkKnown is set if a database that would know was asked. Alone it means an ordinary network.
	NetworkKnown Network = 1 << iota
	// NetworkAnonymous is any network that hides who uses it. It is set with all marks below but NetworkHosting, of which the
	// database decides.
	NetworkAnonymous
	NetworkVPN
	NetworkPublicProxy
	NetworkResidentialProxy
	NetworkTor     // an exit of Tor
	NetworkHosting // a hosting center or cloud, where servers are and viewers seldom
)

// networkMarks are the words of rules and logs. A word that stands for several marks means any of them.
var networkMarks = []struct {
	word string
	mark Network
}{
	{"anonymous", NetworkAnonymous},
	{"vpn", NetworkVPN},
	{"public_proxy", NetworkPublicProxy},
	{"residential_proxy", NetworkResidentialProxy},
	{"tor", NetworkTor},
	{"hosting", NetworkHosting},
	{"proxy", NetworkPublicProxy | NetworkResidentialProxy}, // last, so that String names the kinds
}

// IsKnown reports whether n says anything.
func (n Network) IsKnown() bool { return n != 0 }

// String returns the words of the marks, joined by plus signs, "none" for an ordinary network, or "unknown".
func (n Network) String() string {
	switch n {
	case 0:
		return "unknown"
	case NetworkKnown:
		return "none"
	default: // marks, in any combination
	}
	var words []string
	for rest, i := n, 0; i < len(networkMarks); i++ {
		if mark := networkMarks[i].mark; rest&mark == mark {
			words = append(words, networkMarks[i].word)
			rest &^= mark
		}
	}
	return strings.Join(words, "+")
}

// normalized adds what the marks imply.
func (n Network) normalized() Network {
	if n == 0 {
		return 0
	}
	if n&(NetworkVPN|NetworkPublicProxy|NetworkResidentialProxy|NetworkTor) != 0 {
		n |= NetworkAnonymous
	}
	return n | NetworkKnown
}
