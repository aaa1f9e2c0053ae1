// Package dash turns the MPD of clear content into the MPD of protected content, and changes nothing else in it.
//
// The document is read once into a light tree of byte offsets, each reference in it is resolved against the manifest's
// clean path, a Protector decides key and seal per AdaptationSet, and the edits are spliced into the original bytes.
// Comments, quotes, character references, white space and whatever the package does not know stay as they were.
//
// What a player would dereference is either expressed again as a sealed URL, relative to the path that was asked for,
// or it is not in the result:
//
//	BaseURL             one per Representation, which carries seal and directory; those above it are taken out, or say
//	                    "./" when they carry @availabilityTimeOffset and its kind. Of alternatives the first usable stays.
//	SegmentTemplate     @media and @initialization are kept where they reach only downwards; otherwise the Representation
//	                    gets templates of its own and the unusable ones above it are taken out.
//	Initialization      inside SegmentTemplate becomes @initialization.
//	SegmentBase         with @indexRange becomes a SegmentTemplate of its Representation: one URL per entry of the segment
//	                    index, by number, and a SegmentTimeline with the times of the index. presentationTimeOffset is kept,
//	                    in ticks of the index. Without Initialization@range, what lies in front of the index initializes.
//	SegmentList         is written anew in each Representation: a URL per segment in place of ranges of one file, no index,
//	                    and one S per segment, because one player counts S elements and not their repeats.
//	Location            kept for another name in the directory of the manifest, since one player resolves against it;
//	                    taken out otherwise, and the player comes back to the URL that it asked for.
//	UTCTiming           taken out when an http scheme of it leads to a media origin or is relative.
//	taken out           PatchLocation, ContentSteering, InitializationSet, SegmentTemplate@index, descriptors for font
//	                    download, MPD chaining and fallback, image AdaptationSets with a SegmentTemplate (thumbnails).
//	refused             single files without an index, unless they are text; a mix of SegmentTemplate, SegmentBase and
//	                    SegmentList for one Representation; RepresentationIndex, BitstreamSwitching, BaseURL@byteRange,
//	                    $SubNumber$, xlink, ImportedMPD, hosts that are not ours; ContentProtection, unless Options says that it
//	                    stays over tracks that came protected.
//
// What low latency adds (@availabilityTimeOffset, @availabilityTimeComplete, ServiceDescription, ProducerReferenceTime, Resync)
// is kept as it is.
//
// The package is pure: no I/O of its own, no clock, no configuration. Clause numbers are those of ISO/IEC 23009-1:2022.
package dash
