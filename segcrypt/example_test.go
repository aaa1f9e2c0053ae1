package segcrypt_test

import (
	"bytes"
	"fmt"
	"log"
	"os"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/segcrypt"
)

func ExampleProtector() {
	clearInit, err := os.ReadFile("testdata/avc-init.mp4")
	if err != nil {
		log.Fatal(err)
	}
	clearSegment, err := os.ReadFile("testdata/avc-1.m4s")
	if err != nil {
		log.Fatal(err)
	}

	kid, err := drm.ParseKID("01234567-89ab-cdef-0123-456789abcdef")
	if err != nil {
		log.Fatal(err)
	}
	key, err := drm.NewContentKey(kid, []byte("an example's key"), make([]byte, 16))
	if err != nil {
		log.Fatal(err)
	}

	// Once per track and key:
	init, err := segcrypt.ParseInit(clearInit)
	if err != nil {
		log.Fatal(err)
	}
	protector, err := segcrypt.NewProtector(init, segcrypt.Protection{
		Scheme:   drm.SchemeCenc,
		Key:      key,
		Pssh:     drm.AppendCommonPssh(nil, kid),
		IVSecret: [32]byte([]byte("thirty-two bytes, all kept secret"[:32])),
	})
	if err != nil {
		log.Fatal(err)
	}

	// Then for every segment. Its size is known before anything is encrypted; WriteTo encrypts in the segment's own memory.
	segment, err := protector.Plan(clearSegment)
	if err != nil {
		log.Fatal(err)
	}
	defer segment.Release()
	var response bytes.Buffer
	if _, err := segment.WriteTo(&response); err != nil {
		log.Fatal(err)
	}
	track := init.Tracks()[0]
	fmt.Println(track.Kind, track.SampleEntry, track.Width, track.Height)
	fmt.Println("init segment:", len(clearInit), "bytes clear,", len(protector.Init()), "protected")
	fmt.Println("media segment:", len(clearSegment), "bytes clear,", segment.Size(), "announced,", response.Len(), "protected")
	// Output:
	// video avc1 128 96
	// init segment: 796 bytes clear, 928 protected
	// media segment: 6586 bytes clear, 6799 announced, 6799 protected
}
