package player

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"testing"
)

// drawPicture draws a test picture as testdata/make.sh does, with gray behind it.
func drawPicture(frame int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, 800, 600))
	fill := func(x, y, w, h int, c color.Color) {
		draw.Draw(img, image.Rect(x, y, x+w, y+h), image.NewUniform(c), image.Point{}, draw.Src)
	}
	fill(0, 0, 800, 600, color.Gray{Y: 0x88})
	for _, c := range corners {
		fill(c.x-40, c.y-40, 80, 80, c.want)
	}
	for bit := range barcodeBits {
		c := color.Gray{Y: 16}
		if frame>>bit&1 == 1 {
			c.Y = 235
		}
		fill(barcodeX+bit*cellWidth, barcodeY, cellWidth, cellHeight, c)
	}
	return img
}

func TestReadPicture(t *testing.T) {
	for _, frame := range []int{0, 1, 2, 511, 512, 640, 999, 1023} {
		var b bytes.Buffer
		if err := png.Encode(&b, drawPicture(frame)); err != nil {
			t.Fatal(err)
		}
		p, err := parsePicture(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if p.Frame != frame || !p.Corners {
			t.Errorf("frame %d: read frame %d, corners %v", frame, p.Frame, p.Corners)
		}
	}
}

func TestReadPictureSeesBrokenCorners(t *testing.T) {
	for i, c := range corners {
		img := drawPicture(7)
		img.Set(c.x, c.y, color.Gray{Y: 0x88})
		p, err := readPicture(img)
		if err != nil {
			t.Fatal(err)
		}
		if p.Corners {
			t.Errorf("corner %d is gray, and nobody noticed", i)
		}
	}
}

func TestParsePictureRefusesWhatIsNoScreenshot(t *testing.T) {
	for name, input := range map[string][]byte{
		"empty": nil,
		"text":  []byte("no picture"),
		"small": func() []byte {
			var b bytes.Buffer
			_ = png.Encode(&b, image.NewGray(image.Rect(0, 0, 320, 180)))
			return b.Bytes()
		}(),
	} {
		if p, err := parsePicture(input); err == nil || p.Image != nil {
			t.Errorf("%s: got %v, %v; want an error", name, p, err)
		}
	}
}

func TestKindOfRequest(t *testing.T) {
	for _, c := range []struct {
		method, url string
		want        Kind
	}{
		{"GET", "http://h/a/manifest.mpd?tok=1", Manifest},
		{"GET", "http://h/a/~x/master.m3u8", Manifest},
		{"GET", "http://h/a/~x/seg_1.m4s?tok=a.mpd", Segment},
		{"GET", "http://h/a/init.mp4", Segment},
		{"GET", "http://h/subs/en.vtt", Text},
		{"POST", "http://h/anything", License},
		{"GET", "http://h/.drm/key/00ff", License},
		{"GET", "http://h/.drm/license?kid=00ff", License},
		{"GET", "http://h/", Other},
	} {
		if got := kindOf(c.method, c.url); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.method, c.url, got, c.want)
		}
	}
}
