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
//	thumbnails          image AdaptationSets with a SegmentTemplate are sealed and stay as they are, unless a Period is divided, for
//	                    Options.Rotation or Options.ClearLead; those and all others with segments are taken out.
//	taken out           PatchLocation, ContentSteering, InitializationSet, SegmentTemplate@index, descriptors for font
//	                    download, MPD chaining and fallback.
//	refused             single files without an index, unless they are text; a mix of SegmentTemplate, SegmentBase and
//	                    SegmentList for one Representation; RepresentationIndex, BitstreamSwitching, BaseURL@byteRange,
//	                    $SubNumber$, xlink, ImportedMPD, hosts that are not ours; ContentProtection, unless Options says that it
//	                    stays over tracks that came protected, or is replaced.
//
// An AdaptationSet whose Representations get different keys is written once for each key: under an id of its own, with its own
// Representations, and joined to the others by adaptation-set-switching. All else in it is the same byte for byte.
//
// With Options.Rotation, each Period is written once for each crypto period:
//
//	Period              @id is that of the original, or "p" and its index (in a dynamic MPD its @start), and "-k" and the index of the
//	                    crypto period. @start is where its first video segment begins, to the nanosecond. Neither depends on how
//	                    much of a live window is left, as long as segments are of one duration or Rotation.Cut remembers.
//	SegmentTimeline     is cut. S elements are written anew, with @r for those of one duration in a row.
//	@duration           becomes a SegmentTimeline in a static MPD. In a dynamic one it stays, with @startNumber and @endNumber.
//	SegmentList         gets a SegmentTimeline, and no @startNumber.
//	single files        are cut by their index; the numbers in their URLs go on. Text in one file is listed in each Period, with the
//	                    presentationTimeOffset of it.
//	EventStream         events go to the Period that they begin in. They keep their times; the @presentationTimeOffset moves.
//	taken out           @endNumber of timelines, @eptDelta, @pdDelta and @presentationDuration; in a dynamic MPD the Periods at either
//	                    edge in which audio or video has no segment.
//	refused             Periods of which the start is not known, S@n, S@k and patterns, $Time$ without SegmentTimeline, audio and video of
//	                    which only one is listed in a dynamic MPD, shared SegmentTemplates for tracks that count in different ticks.
//
// With Rotation.Replaced a dynamic MPD is also cut where all of its keys were replaced; what begins there has "-g" and the generation
// in its @id, and what is older goes when its keys are no longer given.
//
// A dynamic MPD whose segments follow from the clock lists one crypto period ahead, and a minimumUpdatePeriod of at most half
// of one.
//
// With Options.ClearLead the Protector is told where the lead of a static MPD ends in the media of each Representation. The document
// does not change by it.
//
// What low latency adds (@availabilityTimeOffset, @availabilityTimeComplete, ServiceDescription, ProducerReferenceTime, Resync)
// is kept as it is.
//
// The package is pure: no I/O of its own, no clock, no configuration. Clause numbers are those of ISO/IEC 23009-1:2022.
package dash
