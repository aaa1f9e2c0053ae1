#!/bin/sh
# Makes testdata/demo and testdata/demo-av1 from nothing: ffmpeg draws and encodes, manifests/ writes the manifests,
# SHA256SUMS pins the result. README.md explains each step. Run it anywhere; it replaces both folders.
#
# Encoders and fonts differ between builds, so another ffmpeg gives another, equally good set of files. Commit the
# media and SHA256SUMS together.
set -eu
cd "$(dirname "$0")"

ffmpeg=${CADDY_DRM_FFMPEG:-ffmpeg}
font='DejaVu Sans Mono'

# barcode <bits>: white cells on black for the bits of the frame index n, least significant first. A cell is 48×80 in
# the 640×360 picture and 24×40 in the 320×180 one, big enough to survive any encoder and any scaling.
barcode() {
	printf 'drawbox=x=80:y=140:w=480:h=80:color=black:t=fill'
	bit=0
	while [ $bit -lt "$1" ]; do
		printf ",drawbox=x=%d:y=140:w=48:h=80:color=white:t=fill:enable='bitand(n,%d)'" $((80 + 48 * bit)) $((1 << bit))
		bit=$((bit + 1))
	done
}

# picture <seconds> <title> <rendition>: the test picture at 640×360, 25 fps. Four solid corners prove geometry and
# color, the barcode proves which frame is shown, the text is for people.
picture() {
	printf 'gradients=s=640x360:r=25:d=%s:n=4:c0=0x0b1d3a:c1=0x1f4e79:c2=0x3b2a5a:c3=0x14505a:x0=0:y0=0:x1=640:y1=360:speed=0.02:seed=7' "$1"
	printf ',format=rgb24'
	printf ',drawbox=x=0:y=0:w=80:h=80:color=0xff0000:t=fill'
	printf ',drawbox=x=560:y=0:w=80:h=80:color=0x00c000:t=fill'
	printf ',drawbox=x=0:y=280:w=80:h=80:color=0x0000ff:t=fill'
	printf ',drawbox=x=560:y=280:w=80:h=80:color=0xffff00:t=fill,'
	barcode 10
	printf ",drawtext=font='%s':text='%s':x=(w-tw)/2:y=40:fontsize=34:fontcolor=white" "$font" "$2"
	printf ",drawtext=font='%s':text='%s':x=(w-tw)/2:y=92:fontsize=20:fontcolor=0xc0d0e0" "$font" "$3"
	printf ",drawtext=font='%s':text='%%{eif\\:n\\:d\\:4}  %%{eif\\:t\\:d\\:2} s':x=(w-tw)/2:y=262:fontsize=34:fontcolor=white" "$font"
	# A ball that moves in every frame, so that a frozen picture is seen to be one.
	printf ",drawtext=font='%s':text='●':x=100+(w-220)*abs(mod(t/4\\,2)-1):y=310:fontsize=28:fontcolor=0xffc040" "$font"
}

# segments <folder>: the arguments that write one track as CMAF segments of 2 s: init.mp4, seg_1.m4s, seg_2.m4s …
# Without a timeline the borders are cut at multiples of 2 s, so that audio does not drift away from video. +cmaf puts
# the composition offsets of B-frames into trun, without an edit list. ffmpeg insists on a manifest of its own, which is
# removed.
segments() {
	echo "-f dash -dash_segment_type mp4 -seg_duration 2 -use_template 1 -use_timeline 0 -init_seg_name init.mp4 -media_seg_name seg_\$Number\$.m4s
		-format_options movflags=+cmaf+skip_sidx -fflags +bitexact -flags:v +bitexact -flags:a +bitexact -map_metadata -1 $1/discard.mpd"
}

run() { "$ffmpeg" -hide_banner -loglevel warning -nostdin -y "$@"; }

# video <folder> <seconds> <title> <width> <height> <encoder arguments…>
video() {
	folder=$1 seconds=$2 title=$3 width=$4 height=$5
	shift 5
	mkdir -p "$folder"
	# shellcheck disable=SC2046 # segments prints a list of words
	run -f lavfi -i "$(picture "$seconds" "$title" "${width}×${height}")" \
		-vf "scale=$width:$height:flags=area:out_color_matrix=bt709:out_range=tv,format=yuv420p,setsar=1" \
		-colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range tv -r 25 "$@" $(segments "$folder")
	rm "$folder/discard.mpd"
}

# audio <folder> <seconds> <encoder arguments…>: a low tone with a beep every second, stereo, 48 kHz. It ends a little
# early, so that the encoder's priming does not make one more segment.
audio() {
	folder=$1 seconds=$2
	shift 2
	mkdir -p "$folder"
	# shellcheck disable=SC2046
	run -f lavfi -i "sine=frequency=220:beep_factor=4:sample_rate=48000:duration=$((seconds - 1)).95" \
		-af "volume=0.25,aformat=channel_layouts=stereo" "$@" $(segments "$folder")
	rm "$folder/discard.mpd"
}

# subtitles <file> <seconds>: one cue for every two seconds, that says which frames it covers.
subtitles() {
	mkdir -p "$(dirname "$1")"
	{
		printf 'WEBVTT\n'
		second=0
		while [ $second -lt "$2" ]; do
			printf '\n00:00:%02d.000 --> 00:00:%02d.900\nFrames %d to %d\n' \
				$second $((second + 1)) $((second * 25)) $((second * 25 + 49))
			second=$((second + 2))
		done
	} >"$1"
}

rm -rf demo demo-av1

# demo: H.264 in two bitrates, AAC, WebVTT; 40 s. Keyframes every 50 frames, at the same frames in both bitrates, and
# nowhere else. Two slices give every picture of the larger one two NAL units to protect.
x264='-c:v libx264 -preset slow -profile:v main -g 50 -keyint_min 50 -sc_threshold 0 -bf 2 -b_strategy 0 -threads 1'
# shellcheck disable=SC2086
video demo/video/360p 40 'caddy-drm demo' 640 360 $x264 -level 3.0 -slices 2 -b:v 320k -maxrate 400k -bufsize 400k
# shellcheck disable=SC2086
video demo/video/180p 40 'caddy-drm demo' 320 180 $x264 -level 1.3 -b:v 110k -maxrate 140k -bufsize 140k
audio demo/audio/en 40 -c:a aac -b:a 64k
subtitles demo/subs/en.vtt 40

# demo-av1: AV1 in two bitrates, Opus, WebVTT; 12 s.
av1='-c:v libaom-av1 -cpu-used 6 -g 50 -keyint_min 50 -row-mt 0 -threads 1'
# shellcheck disable=SC2086
video demo-av1/video/360p 12 'caddy-drm AV1' 640 360 $av1 -b:v 150k
# shellcheck disable=SC2086
video demo-av1/video/144p 12 'caddy-drm AV1' 256 144 $av1 -b:v 50k
audio demo-av1/audio/en 12 -c:a libopus -b:a 48k
subtitles demo-av1/subs/en.vtt 12

# The manifests say what the segments say: durations from trun, codecs from the sample entries, bandwidth from sizes.
go run ./manifests -name 'caddy-drm demo' -addressing timeline demo
go run ./manifests -name 'caddy-drm demo, AV1' -addressing duration demo-av1

find demo demo-av1 -type f | LC_ALL=C sort | xargs sha256sum >SHA256SUMS
du -sh demo demo-av1
