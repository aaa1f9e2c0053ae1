package dash

// part is what of a Period is being written.
type part struct {
	period       int // index in the document
	cryptoPeriod uint32
}

func (p *part) isEmpty(*track) bool { return false }

type timedAttribute struct{}
