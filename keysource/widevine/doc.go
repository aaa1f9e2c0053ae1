// Package widevine asks for content keys by Widevine's Common Encryption API (getcontentkey), which its cloud service and some key
// servers of other vendors speak: signed JSON over HTTP.
package widevine
