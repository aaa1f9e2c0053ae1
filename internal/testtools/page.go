package testtools

import (
	"encoding/json"
	"fmt"
)

// FillIn is a script that fills in the form of the player page as a viewer would; it is true. The radio buttons' own click
// events drive the page. Players are shaka, hls and dash, formats dash and hls.
func FillIn(stream, player, format, token string) (string, error) {
	var quoted [4][]byte
	for i, text := range []string{stream, player, format, token} {
		var err error
		if quoted[i], err = json.Marshal(text); err != nil {
			return "", fmt.Errorf("quoting for a script: %w", err)
		}
	}
	return fmt.Sprintf(`(() => {
	const stream = document.getElementById("stream");
	stream.value = %s;
	stream.dispatchEvent(new Event("change", {bubbles: true}));
	for (const [name, value] of [["player", %s], ["format", %s]])
		document.querySelector("input[name=" + name + "][value=" + value + "]").click();
	document.getElementById("token").value = %s;
	return true;
})()`, quoted[0], quoted[1], quoted[2], quoted[3]), nil
}
