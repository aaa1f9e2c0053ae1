package player

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
)

// Picture is what a screenshot of a test title says about itself.
type Picture struct {
	// Frame is the index of the frame, read from the barcode: 0 to 1023.
	Frame int
	// Corners reports whether all four corners have their color, and so whether the picture is whole.
	Corners bool
	// Image is the screenshot, 640×360 or larger; the video fills its top left.
	Image image.Image
}

// The test picture in coordinates of 640×360; testdata/make.sh draws it.
const (
	pictureWidth  = 640
	pictureHeight = 360
	barcodeBits   = 10
	barcodeX      = 80
	barcodeY      = 140
	cellWidth     = 48
	cellHeight    = 80
	// colorTolerance allows for video coding and for the conversion from limited-range YUV, but not for another color.
	colorTolerance = 70
)

// corners are sampled in the middle of each 80×80 square.
var corners = [...]struct {
	x, y int
	want color.RGBA
}{
	{40, 40, color.RGBA{R: 255, A: 255}},
	{600, 40, color.RGBA{G: 192, A: 255}},
	{40, 320, color.RGBA{B: 255, A: 255}},
	{600, 320, color.RGBA{R: 255, G: 255, A: 255}},
}

// parsePicture reads the barcode and the corners of a PNG screenshot.
func parsePicture(screenshot []byte) (Picture, error) {
	img, err := png.Decode(bytes.NewReader(screenshot))
	if err != nil {
		return Picture{}, fmt.Errorf("reading screenshot: %w", err)
	}
	return readPicture(img)
}

func readPicture(img image.Image) (Picture, error) {
	if b := img.Bounds(); b.Min != (image.Point{}) || b.Dx() < pictureWidth || b.Dy() < pictureHeight {
		return Picture{}, errors.New("reading screenshot: smaller than the video")
	}
	p := Picture{Corners: true, Image: img}
	for bit := range barcodeBits {
		r, g, b := rgb(img, barcodeX+cellWidth*bit+cellWidth/2, barcodeY+cellHeight/2)
		if r+g+b > 3*128 {
			p.Frame |= 1 << bit
		}
	}
	for _, c := range corners {
		r, g, b := rgb(img, c.x, c.y)
		if !near(r, c.want.R) || !near(g, c.want.G) || !near(b, c.want.B) {
			p.Corners = false
		}
	}
	return p, nil
}

func rgb(img image.Image, x, y int) (r, g, b int) {
	cr, cg, cb, _ := img.At(x, y).RGBA()
	return int(cr >> 8), int(cg >> 8), int(cb >> 8)
}

func near(got int, want uint8) bool {
	d := got - int(want)
	return d > -colorTolerance && d < colorTolerance
}
