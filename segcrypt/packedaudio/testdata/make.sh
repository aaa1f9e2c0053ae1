#!/bin/sh
# Writes the test segments of this folder again; ffmpeg in PATH. Each is a second of a tone behind an ID3 tag with a timestamp of 10 s.
# SHA256SUMS holds those of ffmpeg 5.1.9; other versions give other bytes.
set -eu
cd "$(dirname "$0")"

for codec in aac ac3 eac3; do
	case $codec in aac) format=adts file=aac ;; ac3) format=ac3 file=ac3 ;; eac3) format=eac3 file=ec3 ;; esac
	{
		# A tag of 63 bytes with a PRIV frame of 53.
		printf 'ID3\004\000\000\000\000\000\077PRIV\000\000\000\065\000\000com.apple.streaming.transportStreamTimestamp\000'
		printf '\000\000\000\000\000\015\273\240'
		ffmpeg -v error -f lavfi -i sine=frequency=440:sample_rate=48000 -t 1 -c:a $codec -b:a 96k -ac 2 -flags +bitexact \
			-fflags +bitexact -f $format -
	} > tone.$file
done
sha256sum ./tone.* > SHA256SUMS
