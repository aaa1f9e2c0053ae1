#!/bin/sh
# Writes the test segments of this folder again; ffmpeg with libx264 in PATH. Each is one HLS segment of a test picture and a
# tone. SHA256SUMS holds those of ffmpeg 5.1.9; other versions give other bytes.
set -eu
cd "$(dirname "$0")"

video='-f lavfi -i testsrc2=size=160x90:rate=25'
tone='-f lavfi -i sine=frequency=440:sample_rate=48000'
x264='-pix_fmt yuv420p -c:v libx264 -preset veryfast -g 25 -b:v 200k -threads 1'
exact='-flags +bitexact -fflags +bitexact -map_metadata -1'
encode() { # shellcheck disable=SC2086 # lists of options
	ffmpeg -v error -y "$@" -mpegts_flags +resend_headers
}

# shellcheck disable=SC2086
{
	encode $video $tone -t 1 $x264 -bf 0 -c:a aac -b:a 64k $exact -f mpegts avc-aac.ts
	# Several slices in a picture, B-frames, one audio frame in a PES packet.
	encode $video $tone -t 1 $x264 -bf 2 -x264-params slices=3 -c:a aac -b:a 64k $exact -pes_payload_size 0 -f mpegts avc-b-slices.ts
	# Noise of black and white, which the encoder writes as it is, so that there are thousands of zeros to escape.
	encode -f lavfi -i "color=black:size=64x64:rate=25,format=yuv420p,geq=lum='if(gt(random(0),0.5),0,255)':cb=0:cr=0" -t 0.4 \
		-c:v libx264 -preset medium -x264-params psy=0:psy-rd=0,0:subme=7:aud=1 -qp 1 -bf 0 -threads 1 $exact -f mpegts avc-pcm.ts
	encode $tone -t 1 -c:a aac -b:a 64k $exact -f mpegts aac.ts
	encode $tone -t 1 -c:a aac -b:a 64k $exact -pes_payload_size 0 -f mpegts aac-single.ts
	encode $video $tone -t 0.5 $x264 -bf 0 -c:a ac3 -b:a 96k $exact -pes_payload_size 0 -f mpegts avc-ac3.ts
	encode $tone -t 1 -c:a ac3 -b:a 192k -ac 2 $exact -pes_payload_size 0 -f mpegts ac3.ts
	encode $tone -t 1 -c:a eac3 -b:a 192k -ac 2 $exact -pes_payload_size 0 -f mpegts eac3.ts
	encode $tone -t 1 -c:a eac3 -b:a 192k -ac 2 $exact -mpegts_flags system_b -f mpegts eac3-dvb.ts
	encode $video -t 0.4 -pix_fmt yuv420p -c:v libx265 -x265-params log-level=error -threads 1 $exact -f mpegts hevc.ts
	encode $tone -t 0.3 -c:a libmp3lame $exact -f mpegts mp3.ts
}
sha256sum ./*.ts > SHA256SUMS
