package geo

import "errors"

// errTree is for a tree that does not have the nodes that its metadata promises.
var errTree = errors.New("the search tree is cut short")

// separatorBytes lie between the tree and the records.
const separatorBytes = 16

// recordOffsets calls found with the offset of every record that the search tree of a database leads to, each time that a node
// does. b is the database.
//
// Every node is visited once. An iterator over networks would follow every way through the tree instead, and in one whose
// branches meet again, as those of IPv4 inside IPv6 do and those of a made-up one may, there are up to 2¹²⁸ of them.
func recordOffsets(b []byte, nodes uint, recordBits uint, found func(offset uint32) error) error {
	nodeBytes := recordBits / 4
	if nodeBytes == 0 || nodes > uint(len(b))/nodeBytes {
		return errTree
	}
	visited := make([]bool, nodes)
	for next := []uint{0}; len(next) > 0; {
		node := next[len(next)-1]
		next = next[:len(next)-1]
		if node >= nodes || visited[node] {
			continue
		}
		visited[node] = true
		left, right, err := nodeRecords(b[node*nodeBytes:(node+1)*nodeBytes], recordBits)
		if err != nil {
			return err
		}
		for _, pointer := range [...]uint{left, right} {
			switch {
			case pointer < nodes:
				next = append(next, pointer)
			case pointer >= nodes+separatorBytes:
				if err := found(uint32(pointer - nodes - separatorBytes)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// nodeRecords reads the two records of a node. With 28 bits the byte in the middle has the highest four of both.
func nodeRecords(b []byte, recordBits uint) (left, right uint, err error) {
	read := func(b []byte) (n uint) {
		for _, c := range b {
			n = n<<8 | uint(c)
		}
		return n
	}
	switch recordBits {
	case 24:
		return read(b[:3]), read(b[3:]), nil
	case 28:
		return uint(b[3]>>4)<<24 | read(b[:3]), uint(b[3]&0x0f)<<24 | read(b[4:]), nil
	case 32:
		return read(b[:4]), read(b[4:]), nil
	}
	return 0, 0, errTree
}
