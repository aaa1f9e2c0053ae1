package drm

import "testing"

// The table of DASH-IF content protection identifiers, as text.
func TestSystemNames(t *testing.T) {
	table := map[string]string{
		"1077efec-c0b2-4d02-ace3-3c1e52e2fb4b": "W3C common",
		"e2719d58-a985-b3c9-781a-b030af78d30e": "ClearKey",
		"edef8ba9-79d6-4ace-a3c8-27dcd51d21ed": "Widevine",
		"9a04f079-9840-4286-ab92-e65be0885f95": "PlayReady",
		"94ce86fb-07ff-4f43-adb8-93d2fa968ca2": "FairPlay",
		"3ea8778f-7742-4bf9-b18b-e834b2acbd47": "HLS AES-128",
		"be58615b-19c4-4684-88b3-c8c57e99e957": "HLS SAMPLE-AES",
		"81376844-f976-481e-a84e-cc25d39b0b33": "AES-128 of SPEKE 1",
		"5e629af5-38da-4063-8977-97ffbd9902d4": "Marlin",
		"80a6be7e-1448-4c37-9e70-d5aebe04c8d2": "Irdeto",
		"adb41c24-2dbf-4a6d-958b-4457c0d27b95": "Nagra",
		"9a27dd82-fde2-4725-8cbc-4234aa06ec09": "Verimatrix VCAS",
		"b4413586-c58c-ffb0-94a5-d4896c1af6c3": "Viaccess-Orca",
		"3d5e6d35-9b9a-41e8-b843-dd3c6e72c42c": "WisePlay",
		"f239e769-efa3-4850-9c16-a903c6932efb": "Adobe Primetime",
		"a68129d3-575b-4f1a-9cba-3223846cf7c3": "Cisco VideoGuard",
	}
	for uuid, name := range table {
		kid, err := ParseKID(uuid)
		if err != nil {
			t.Fatal(err)
		}
		if got := SystemID(kid).Name(); got != name {
			t.Errorf("%s is named %q, want %q", uuid, got, name)
		}
	}
	if len(table) != len(systemNames) {
		t.Errorf("%d systems have names, the table has %d", len(systemNames), len(table))
	}
	if unknown := SystemID(testKID); unknown.Name() != testKID.String() || unknown.Word() != testKID.String() {
		t.Errorf("an unknown system goes by its UUID, got %q", unknown.Name())
	}
}

func TestParseSystem(t *testing.T) {
	for word, want := range map[string]SystemID{
		"clearkey": SystemClearKey, "widevine": SystemWidevine, "playready": SystemPlayReady, "fairplay": SystemFairPlay,
	} {
		if got, err := ParseSystem(word); err != nil || got != want || got.Word() != word {
			t.Errorf("ParseSystem(%q) = %v, %v", word, got, err)
		}
	}
	for _, word := range []string{"", "Widevine", "marlin", "w3c common", "edef8ba9-79d6-4ace-a3c8-27dcd51d21ed"} {
		if got, err := ParseSystem(word); err == nil || got != (SystemID{}) {
			t.Errorf("ParseSystem(%q) = %v, %v; want an error", word, got, err)
		}
	}
}
