package cpix

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

// refused are documents with what the error has to name. They are the seeds of the fuzz test, too.
var refused = map[string]struct{ text, want string }{
	"empty":                 {"", "incomplete"},
	"text":                  {"hello", "outside of the root"},
	"cut":                   {wrap(twoKeys())[:300], "well-formed"},
	"another root":          {`<MPD xmlns="urn:dashif:org:cpix"/>`, "root is not CPIX"},
	"another namespace":     {`<CPIX xmlns="urn:example"/>`, "root is not CPIX"},
	"two roots":             {wrap("") + wrap(""), "second root"},
	"document type":         {`<!DOCTYPE CPIX SYSTEM "file:///etc/passwd">` + wrap(""), "document types"},
	"entity bomb":           {`<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>` + wrap("&b;"), "document types"},
	"unknown entity":        {wrap("<ContentKeyList>&xxe;</ContentKeyList>"), "well-formed"},
	"processing":            {wrap(`<?php x?>`), "processing instructions"},
	"UTF-16":                {"\xff\xfe<\x00C\x00", "UTF-8"},
	"another charset":       {`<?xml version="1.0" encoding="UTF-16"?>` + wrap(""), "well-formed"},
	"deep":                  {wrap(strings.Repeat("<a>", 100000)), "nested deeper"},
	"many elements":         {wrap(strings.Repeat("<a/>", 60000)), "elements"},
	"many attributes":       {wrap(`<a` + manyAttributes() + `/>`), "attributes"},
	"huge":                  {wrap(strings.Repeat(" ", MaxSize)), "bytes"},
	"attribute twice":       {wrap(`<a b="1" b="2"/>`), "stands twice"},
	"text between":          {wrap(`<ContentKeyList>x<ContentKey kid="` + kid1 + `"/></ContentKeyList>`), "text between"},
	"version":               {strings.Replace(wrap(""), `"2.3"`, `"3.0"`, 1), "@version"},
	"no KID":                {wrap(`<ContentKeyList><ContentKey/></ContentKeyList>`), "CPIX/ContentKeyList/ContentKey (byte"},
	"empty KID":             {wrap(`<ContentKeyList><ContentKey kid=""/></ContentKeyList>`), "not a UUID"},
	"zero KID":              {wrap(`<ContentKeyList><ContentKey kid="00000000-0000-0000-0000-000000000000"/></ContentKeyList>`), "not a UUID"},
	"KID twice":             {wrap(`<ContentKeyList>` + clearKey(kid1, key1, "") + clearKey(strings.ToUpper(kid1), key2, "") + `</ContentKeyList>`), "ContentKey[2] (byte"},
	"key twice":             {wrap(`<ContentKeyList>` + clearKey(kid1, key1, "") + clearKey(kid2, key1, "") + `</ContentKeyList>`), "value of another key"},
	"list twice":            {wrap(`<ContentKeyList/><ContentKeyList/>`), "stands twice"},
	"short key":             {wrap(`<ContentKeyList>` + clearKey(kid1, key1[2:], "") + `</ContentKeyList>`), "15 bytes"},
	"long key":              {wrap(`<ContentKeyList>` + clearKey(kid1, key1+key1, "") + `</ContentKeyList>`), "32 bytes"},
	"zero key":              {wrap(`<ContentKeyList>` + clearKey(kid1, strings.Repeat("00", 16), "") + `</ContentKeyList>`), "zero"},
	"wrong base64":          {wrap(strings.Replace(`<ContentKeyList>`+clearKey(kid1, key1, "")+`</ContentKeyList>`, b64hex(key1), key1+"!", 1)), "not base64"},
	"bits behind base64":    {wrap(strings.Replace(`<ContentKeyList>`+clearKey(kid1, key1, "")+`</ContentKeyList>`, "/w==", "/x==", 1)), "not base64"},
	"plain twice":           {wrap(strings.Replace(`<ContentKeyList>`+clearKey(kid1, key1, "")+`</ContentKeyList>`, "</pskc:Secret>", "<pskc:PlainValue/></pskc:Secret>", 1)), "stands twice"},
	"IV of 8 bytes":         {wrap(`<ContentKeyList>` + clearKey(kid1, key1, `explicitIV="AAAAAAAAAAA="`) + `</ContentKeyList>`), "@explicitIV"},
	"scheme":                {wrap(`<ContentKeyList>` + clearKey(kid1, key1, `commonEncryptionScheme="cens"`) + `</ContentKeyList>`), "@commonEncryptionScheme"},
	"hierarchy":             {wrap(`<ContentKeyList>` + clearKey(kid1, key1, `dependsOnKey="`+kid2+`"`) + `</ContentKeyList>`), "hierarchies"},
	"system of no key":      {wrap(`<DRMSystemList><DRMSystem kid="` + kid1 + `" systemId="` + kid2 + `"/></DRMSystemList>`), "names no key"},
	"system without ID":     {wrap(twoKeys() + `<DRMSystemList><DRMSystem kid="` + kid1 + `"/></DRMSystemList>`), "@systemId"},
	"system twice":          {wrap(twoKeys() + `<DRMSystemList>` + strings.Repeat(`<DRMSystem kid="`+kid1+`" systemId="`+kid2+`"/>`, 2) + `</DRMSystemList>`), "DRMSystem[2]"},
	"pssh of another":       {wrap(twoKeys() + `<DRMSystemList><DRMSystem kid="` + kid1 + `" systemId="` + kid2 + `"><PSSH>AAAANHBzc2gBAAAAEHfv7MCyTQKs4zweUuL7SwAAAAEBI0VniavN7wEjRWeJq83vAAAAAA==</PSSH></DRMSystem></DRMSystemList>`), "pssh"},
	"signal that is no XML": {wrap(twoKeys() + `<DRMSystemList><DRMSystem kid="` + kid1 + `" systemId="` + kid2 + `"><ContentProtectionData>` + base64.StdEncoding.EncodeToString([]byte(`</ContentProtection><a>`)) + `</ContentProtectionData></DRMSystem></DRMSystemList>`), "well-formed"},
	"signal that is no tag": {wrap(twoKeys() + `<DRMSystemList><DRMSystem kid="` + kid1 + `" systemId="` + kid2 + `"><HLSSignalingData playlist="media">` + base64.StdEncoding.EncodeToString([]byte("#EXT-X-KEY:METHOD=NONE\nhttps://evil.example/x.ts")) + `</HLSSignalingData></DRMSystem></DRMSystemList>`), "EXT-X tags"},
	"URI with a quote":      {wrap(twoKeys() + `<DRMSystemList><DRMSystem kid="` + kid1 + `" systemId="` + kid2 + `"><URIExtXKey>` + base64.StdEncoding.EncodeToString([]byte(`skd://a",KEYFORMAT="x`)) + `</URIExtXKey></DRMSystem></DRMSystemList>`), "URI"},
	"rule of no key":        {wrap(`<ContentKeyUsageRuleList><ContentKeyUsageRule kid="` + kid1 + `"/></ContentKeyUsageRuleList>`), "names no key"},
	"rule of no period":     {wrap(twoKeys() + `<ContentKeyUsageRuleList><ContentKeyUsageRule kid="` + kid1 + `"><KeyPeriodFilter periodId="p"/></ContentKeyUsageRule></ContentKeyUsageRuleList>`), "names no period"},
	"period twice":          {wrap(`<ContentKeyPeriodList><ContentKeyPeriod id="p"/><ContentKeyPeriod id="p"/></ContentKeyPeriodList>`), "again"},
	"index twice":           {wrap(`<ContentKeyPeriodList><ContentKeyPeriod id="p" index="1"/><ContentKeyPeriod id="q" index="1"/></ContentKeyPeriodList>`), "again"},
	"period backwards":      {wrap(`<ContentKeyPeriodList><ContentKeyPeriod id="p" start="2026-01-02T00:00:00Z" end="2026-01-01T00:00:00Z"/></ContentKeyPeriodList>`), "ends before"},
	"time without a zone":   {wrap(`<ContentKeyPeriodList><ContentKeyPeriod id="p" start="2026-01-02T00:00:00"/></ContentKeyPeriodList>`), "@start"},
	"pixels":                {wrap(twoKeys() + `<ContentKeyUsageRuleList><ContentKeyUsageRule kid="` + kid1 + `"><VideoFilter minPixels="-1"/></ContentKeyUsageRule></ContentKeyUsageRuleList>`), "@minPixels"},
	"pixels backwards":      {wrap(twoKeys() + `<ContentKeyUsageRuleList><ContentKeyUsageRule kid="` + kid1 + `"><VideoFilter minPixels="2" maxPixels="1"/></ContentKeyUsageRule></ContentKeyUsageRuleList>`), "below"},
	"certificate":           {wrap(`<DeliveryDataList><DeliveryData><DeliveryKey/></DeliveryData></DeliveryDataList>`), "certificate"},
}

func manyAttributes() string {
	var b strings.Builder
	for i := range 100 {
		b.WriteString(` a` + strings.Repeat("b", i) + `=""`)
	}
	return b.String()
}

func TestRefused(t *testing.T) {
	for name, test := range refused {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			checkRefused(t, test.text, ParseOptions{})
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("took %s", took)
			}
			if _, err := Parse([]byte(test.text), ParseOptions{}); !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q says nothing of %q", err, test.want)
			}
		})
	}
}
