package caddymodule

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// TestValidate holds `caddy validate` to finding what contradicts itself, and to naming the setting.
func TestValidate(t *testing.T) {
	t.Setenv("TEST_SHORT_SECRET", "0123456789abcdef")
	t.Setenv("TEST_WEAK_SECRET", strings.Repeat("ab", 32))
	g := newGateway(t)
	for name, text := range map[string]string{
		"public.pem": "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n",
		"bad.mmdb":   "this is no database",
		"bare.json":  `[{"key_id":"AAECAwQFBgcICQoLDA0ODw==","key":"EBESExQVFhcYGRobHB0eHw=="}]`,
		"empty.json": `{"keys":[]}`,
		"good.yaml":  "titles: []",
	} {
		if err := os.WriteFile(filepath.Join(g.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const clearkey = "license_server clearkey\n"
	const tokens = clearkey + "token signed {\n key {env.TEST_TOKEN_SECRET}\n}\n"
	t.Setenv("TEST_TINY_SECRET", "tiny")
	for name, test := range map[string]struct {
		options string
		global  string
		wants   []string
		json    [2]string // a replacement in the JSON, for what no Caddyfile says
	}{
		"no license server":                           {options: "scheme cenc", wants: []string{"license: want"}},
		"an unknown geo database":                     {options: clearkey + "geo city {\n allow AT\n}", wants: []string{"geo:", `"city"`}},
		"a geo rule without a country":                {options: clearkey + "geo country", wants: []string{"geo: want"}},
		"no country":                                  {options: clearkey + "geo country {\n allow Austria\n}", wants: []string{"geo: allow"}},
		"no country to deny":                          {options: clearkey + "geo country {\n deny ZZZ\n}", wants: []string{"geo: deny"}},
		"a blocker that is no URL":                    {options: clearkey + "geo country {\n allow AT\n blocked_by nobody\n}", wants: []string{"geo.blocked_by"}},
		"what no database tells":                      {options: clearkey + "geo country {\n deny vpn US-CA\n}", wants: []string{"geo:", "network", "subdivision", "(country)"}},
		"portability without a token":                 {options: clearkey + "geo country {\n allow AT\n portability\n}", wants: []string{"geo.portability"}},
		"portability in the world":                    {options: clearkey + "geo country {\n allow AT\n portability\n}\ntoken signed {\n key {env.TEST_TOKEN_SECRET}\n}", json: [2]string{`"portability":"eu"`, `"portability":"world"`}, wants: []string{"geo.portability"}},
		"unknown what":                                {options: clearkey + "geo country {\n allow AT\n unknown allow country\n}", json: [2]string{`"unknown_for":["country"]`, `"unknown_for":["address"]`}, wants: []string{"geo.unknown_for"}},
		"a set of no countries":                       {options: clearkey, global: "geo_set dach DE", json: [2]string{`{"dach":["DE"]}`, `{"dach":["Germany"]}`}, wants: []string{"geo_sets.dach"}},
		"an empty set":                                {options: clearkey, global: "geo_set dach DE", json: [2]string{`{"dach":["DE"]}`, `{"dach":[]}`}, wants: []string{"geo_sets.dach"}},
		"a set with a name of ours":                   {options: clearkey, global: "geo_set dach DE", json: [2]string{`{"dach":["DE"]}`, `{"eu":["DE"]}`}, wants: []string{"geo_sets", "eu"}},
		"a set that nobody defined":                   {options: clearkey + "geo country {\n allow dach\n}", wants: []string{"geo: allow", "dach"}},
		"a database that is too old":                  {options: clearkey, global: "geo_database old TESTDATA/geo/example-city.mmdb {\n max_age 1h\n}", wants: []string{"geo_databases.old", "too old"}},
		"a database without a file":                   {options: clearkey, global: "geo_database old DIR/x {\n rollback allow\n}", json: [2]string{`"rollback":"allow"`, `"rollback":"maybe"`}, wants: []string{"geo_databases.old"}},
		"a database with an unknown option":           {options: clearkey, global: "geo_database old DIR/x {\n rollback allow\n}", json: [2]string{`"rollback":"allow"`, `"rollbak":"allow"`}, wants: []string{"rollbak"}},
		"a missing database":                          {options: clearkey, global: "geo_database gone DIR/gone.mmdb", wants: []string{"geo_databases.gone"}},
		"a corrupt database":                          {options: clearkey, global: "geo_database bad DIR/bad.mmdb", wants: []string{"geo_databases.bad"}},
		"a short secret":                              {options: clearkey + "secret {env.TEST_SHORT_SECRET}", wants: []string{"secret:", "32"}},
		"a weak secret":                               {options: clearkey + "secret {env.TEST_WEAK_SECRET}", wants: []string{"secret:"}},
		"an unset secret":                             {options: clearkey + "secret {env.TEST_NO_SUCH_SECRET}", wants: []string{"secret:"}},
		"a missing secret file":                       {options: clearkey + "secret {file.DIR/none}", wants: []string{"secret:"}},
		"a literal secret":                            {options: clearkey + "secret {env.TEST_OTHER_SECRET}", json: [2]string{"{env.TEST_OTHER_SECRET}", testOtherSecret}, wants: []string{"secret:", "placeholder"}},
		"a JWT without algorithms":                    {options: clearkey + "token jwt {\n secret {env.TEST_TOKEN_SECRET}\n}", wants: []string{"token:", "algorithms"}},
		"an unknown algorithm":                        {options: clearkey + "token jwt {\n algorithms none\n secret {env.TEST_TOKEN_SECRET}\n}", wants: []string{"token:", "none"}},
		"HS256 with a public key":                     {options: clearkey + "token jwt {\n algorithms HS256\n public_key DIR/public.pem\n}", wants: []string{"token:", "public_key"}},
		"a public key as secret":                      {options: clearkey + "token jwt {\n algorithms HS256\n secret {file.DIR/public.pem}\n}", wants: []string{"token:", "secret"}},
		"a JWT without keys":                          {options: clearkey + "token jwt {\n algorithms HS256\n}", wants: []string{"token:", "exactly one"}},
		"a JWT with two kinds of keys":                {options: clearkey + "token jwt {\n algorithms HS256\n secret {env.TEST_TOKEN_SECRET}\n jwks DIR/empty.json\n}", wants: []string{"token:", "exactly one"}},
		"a missing key set":                           {options: clearkey + "token jwt {\n algorithms ES256\n jwks DIR/none.json\n}", wants: []string{"token:", "jwks"}},
		"much leeway":                                 {options: clearkey + "token signed {\n key {env.TEST_TOKEN_SECRET}\n leeway 1h\n}", wants: []string{"token:", "leeway"}},
		"a short signing key":                         {options: clearkey + "token signed {\n key {env.TEST_SHORT_SECRET}\n}", wants: []string{"token:", "key 1"}},
		"signed without keys":                         {options: clearkey + "token signed", wants: []string{"token:"}},
		"two verifiers of one form":                   {options: tokens, json: [2]string{`"verifiers":[`, `"verifiers":[{"kind":"signed","keys":[{"secret":"{env.TEST_TOKEN_SECRET}"}]},`}, wants: []string{"token:", "signed"}},
		"two verifiers of one vendor":                 {options: tokens + "token_from query t", json: [2]string{`"verifiers":[`, `"verifiers":[` + strings.Repeat(`{"kind":"bunny","keys":["{env.TEST_TOKEN_SECRET}"]},`, 2)}, wants: []string{"token.from", "two kinds of token"}},
		"a session without a token":                   {options: clearkey + "session path", wants: []string{"token:"}},
		"a place without a token":                     {options: clearkey + "token_from query t", wants: []string{"token:"}},
		"a subject limit without a token":             {options: clearkey + "limit 1 per 1s by subject", wants: []string{"limit: by subject"}},
		"a device limit without a token":              {options: clearkey + "limit requests 1 per 1s by device", wants: []string{"limit: by device"}},
		"subjects' streams without a token":           {options: clearkey + "limit streams 1 by subject", wants: []string{"limit streams: by subject"}},
		"streams that idle in no time":                {options: clearkey + "limit streams 1 by title idle 1s", wants: []string{"limit streams: idle"}},
		"a title's streams by its token":              {options: clearkey + "limit streams token by title", wants: []string{"limit streams", "token"}},
		"Redis without an address":                    {options: clearkey, global: "state redis", wants: []string{"drm.state", "addresses"}},
		"sentinels of a cluster":                      {options: clearkey, global: "state redis {\n address a:1\n cluster\n sentinel m\n}", wants: []string{"drm.state", "cluster"}},
		"a database of a cluster":                     {options: clearkey, global: "state redis {\n address a:1\n cluster\n db 1\n}", wants: []string{"drm.state", "db"}},
		"a lease shorter than its renewal":            {options: clearkey, global: "state redis {\n address a:1\n lease 3s\n}", wants: []string{"drm.state", "lease"}},
		"a request that waits for long":               {options: clearkey, global: "state redis {\n address a:1\n timeout 5s\n}", wants: []string{"drm.state", "timeout"}},
		"a prefix with braces":                        {options: clearkey, global: "state redis {\n address a:1\n prefix {x}\n}", wants: []string{"drm.state", "prefix"}},
		"an unset password":                           {options: clearkey, global: "state redis {\n address a:1\n password {env.TEST_NO_SUCH_SECRET}\n}", wants: []string{"drm.state"}},
		"a missing authority":                         {options: clearkey, global: "state redis {\n address a:1\n tls {\n ca DIR/none.pem\n }\n}", wants: []string{"drm.state", "tls"}},
		"a bare key list with both schemes":           {options: clearkey + "keys static DIR/bare.json", wants: []string{"keys:", "scheme"}},
		"an empty key list":                           {options: clearkey + "keys static DIR/empty.json", wants: []string{"keys:", "empty"}},
		"a missing key list":                          {options: clearkey + "keys static DIR/none.json", wants: []string{"keys:", "file"}},
		"keys per nothing":                            {options: clearkey + "keys derived {\n per day\n}", wants: []string{"keys:", "per"}},
		"protected input of another word":             {options: clearkey + "protected_input pass", json: [2]string{`"protected_input":"pass"`, `"protected_input":"allow"`}, wants: []string{"protected_input: want"}},
		"media as sidecars":                           {options: clearkey + "sidecar .vtt .m4s", wants: []string{"sidecars", ".m4s"}},
		"an asset that climbs":                        {options: clearkey + "asset /vod/../x", wants: []string{"assets"}},
		"an asset without a slash":                    {options: clearkey + "asset vod", wants: []string{"assets"}},
		"a shared path that is none":                  {options: clearkey + "shared /[", wants: []string{"shared"}},
		"an origin with credentials":                  {options: clearkey + "origin https://u:p@origin.example.com/", wants: []string{"origins"}},
		"an origin that is a file":                    {options: clearkey + "origin file:///etc/", wants: []string{"origins"}},
		"an origin that ends in a name":               {options: clearkey + "origin https://origin.example.com/a", wants: []string{"origins"}},
		"a key format twice":                          {options: clearkey + "hls_key_formats identity identity", wants: []string{"hls_key_formats"}},
		"an unknown key format":                       {options: clearkey + "hls_key_formats widevine", wants: []string{"hls_key_formats"}},
		"a CORS origin with a path":                   {options: clearkey + "cors https://play.example.com/", wants: []string{"cors_origins"}},
		"a CORS origin that is all":                   {options: clearkey + "cors *", wants: []string{"cors_origins"}},
		"an unknown scheme":                           {options: clearkey + "scheme cenc", json: [2]string{`"cenc"`, `"cens"`}, wants: []string{"scheme"}},
		"an unknown session":                          {options: clearkey + "session path\ntoken signed {\n key {env.TEST_TOKEN_SECRET}\n}", json: [2]string{`"session":"path"`, `"session":"body"`}, wants: []string{"token.session"}},
		"an unknown place":                            {options: clearkey + "token_from query x\ntoken signed {\n key {env.TEST_TOKEN_SECRET}\n}", json: [2]string{`"in":"query"`, `"in":"body"`}, wants: []string{"token.from"}},
		"an unknown way to count":                     {options: clearkey + "limit 1 per 1s by address", json: [2]string{`"by":"address"`, `"by":"name"`}, wants: []string{"limit: by"}},
		"a limit of nothing":                          {options: clearkey + "limit 1 per 1s", json: [2]string{`"requests":1`, `"requests":0`}, wants: []string{"limit"}},
		"a session extended backwards":                {options: clearkey + "session path 1h\ntoken signed {\n key {env.TEST_TOKEN_SECRET}\n}", json: [2]string{`"session_extend":3600000000000`, `"session_extend":-1`}, wants: []string{"token.session_extend"}},
		"a negative size":                             {options: clearkey + "max_segment_size 5", json: [2]string{`"max_segment_size":5`, `"max_segment_size":-5`}, wants: []string{"max_segment_size"}},
		"an unknown catalog":                          {options: clearkey + "rights shop", wants: []string{"rights:", `"shop"`}},
		"a missing catalog":                           {options: clearkey, global: "rights shop DIR/none.yaml", wants: []string{"rights.shop", "none.yaml"}},
		"a bad catalog":                               {options: clearkey, global: "rights shop DIR/bad.mmdb", wants: []string{"rights.shop", "line 1"}},
		"a catalog over the open network":             {options: clearkey, global: "rights shop http://rights.example.com/", wants: []string{"rights.shop", "https"}},
		"a catalog that is stale at once":             {options: clearkey, global: "rights shop DIR/good.yaml {\nstale_after 15s\n}", wants: []string{"rights.shop", "stale_after"}},
		"rights in an unknown database":               {options: clearkey + "rights {\n model free\n territories AT\n geo city\n}", wants: []string{"rights:", `"city"`}},
		"neither a catalog nor a title":               {options: clearkey + "rights shop", json: [2]string{`"catalog":"shop"`, ``}, wants: []string{"rights:"}},
		"unlisted paths without a catalog":            {options: clearkey + "rights {\n model free\n territories AT\n}", json: [2]string{`"rights":{`, `"rights":{"unlisted":"allow",`}, wants: []string{"rights.unlisted"}},
		"a title without a model":                     {options: clearkey + "rights {\n model free\n territories AT\n}", json: [2]string{`"model":"free",`, ``}, wants: []string{"rights:", "model"}},
		"another status":                              {options: clearkey + "geo country {\n allow AT\n status 451\n}", json: [2]string{`451`, `404`}, wants: []string{"geo.status"}},
		"a session by query with a name that is none": {options: tokens + "session query a=b", wants: []string{"token.session_name"}},
		"a session in the token's parameter":          {options: tokens + "session query token", wants: []string{"token.session_name", "token"}},
		"a session in the scheme's parameter":         {options: tokens + "session query drm", wants: []string{"token.session_name", "drm"}},
		"a renewal all the time":                      {options: tokens + "session path 1h {\n renew 2h\n}", wants: []string{"token.session_renew"}},
		"a binding of too many bits":                  {options: tokens + "session path {\n bind address 33 56\n}", wants: []string{"token.session_binding"}},
		"a binding to an unknown network":             {options: tokens + "session path {\n bind asn\n}", wants: []string{"token.session_binding", "geo"}},
		"a binding to nothing":                        {options: tokens + "session path {\n bind asn\n}", json: [2]string{`{"asn":true}`, `{}`}, wants: []string{"token.session_binding"}},
		"an unknown mode":                             {options: clearkey + "mode observe", json: [2]string{`"observe"`, `"watch"`}, wants: []string{"mode"}},
		"an unknown delivery":                         {options: clearkey + "delivery edge", json: [2]string{`"edge"`, `"cloud"`}, wants: []string{"delivery.mode"}},
		"a CDN's credential at the edge":              {options: clearkey + "delivery edge {\n pull_auth header X {env.TEST_TOKEN_SECRET}\n}", wants: []string{"delivery", "behind_cdn"}},
		"a CDN's credential that is short":            {options: clearkey + "delivery behind_cdn {\n pull_auth header X {env.TEST_TINY_SECRET}\n}", wants: []string{"pull_auth", "16"}},
		"a CDN's credential in the configuration":     {options: clearkey + "delivery behind_cdn {\n pull_auth header X {env.TEST_OTHER_SECRET}\n}", json: [2]string{"{env.TEST_OTHER_SECRET}", testOtherSecret}, wants: []string{"pull_auth", "placeholder"}},
		"a CDN's credential of no kind":               {options: clearkey + "delivery behind_cdn {\n pull_auth header X {env.TEST_TOKEN_SECRET}\n}", json: [2]string{`"header":"X",`, ``}, wants: []string{"pull_auth", "header or a user"}},
		"media that is kept for years":                {options: clearkey + "delivery behind_cdn {\n max_age 9000h\n}", wants: []string{"delivery.max_age"}},
		"sessions in the path behind a CDN":           {options: tokens + "session path\ndelivery behind_cdn", wants: []string{"delivery", "session path", "cache"}},
		"a subject's limit behind a CDN":              {options: tokens + "limit 1 per 1s by subject\ndelivery behind_cdn", wants: []string{"delivery", "limit by subject", "media ends at the CDN"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := validateCaddyfile(t, g, test.global, test.options, test.json)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range test.wants {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not name %q", err, want)
				}
			}
			for _, secret := range []string{testSecretHex, testOtherSecret, testTokenSecret, "0123456789abcdef"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("error %q holds a secret", err)
				}
			}
		})
	}
	t.Run("a configuration without mistakes is accepted", func(t *testing.T) {
		options := clearkey + "scheme cenc\nkeys static DIR/bare.json\ntoken jwt {\n algorithms EdDSA\n public_key DIR/public.pem\n}\n" +
			"geo country {\n allow AT\n portability eea\n blocked_by https://law.example.com/\n}\nlimit 5 per 1s by subject"
		if err := validateCaddyfile(t, g, "", options, [2]string{}); err != nil {
			t.Error(err)
		}
	})
}

func validateCaddyfile(t *testing.T, g *gateway, global, options string, edit [2]string) error {
	t.Helper()
	text := strings.Replace(globalBlock, "drm {", "drm {\n"+global, 1) + "\nhttp://:PORT {\n\tdrm {\n" + options + "\n\t}\n\tfile_server\n}\n"
	adapted, err := adaptCaddyfile(g.replace.Replace(text))
	if err != nil {
		t.Fatal(err)
	}
	if edit[0] != "" {
		if strings.Count(string(adapted), edit[0]) == 0 {
			t.Fatalf("no %s in %s", edit[0], adapted)
		}
		adapted = []byte(strings.ReplaceAll(string(adapted), edit[0], edit[1]))
	}
	var config caddy.Config
	if err := json.Unmarshal(adapted, &config); err != nil {
		t.Fatal(err)
	}
	return caddy.Validate(&config)
}
