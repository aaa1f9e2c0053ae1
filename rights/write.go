package rights

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// AppendYAML appends the catalog in the form that Parse reads.
func (c *Catalog) AppendYAML(dst []byte) []byte {
	w := &yamlWriter{b: dst}
	if len(c.titles) == 0 {
		w.line(0, "titles: []")
	} else {
		w.line(0, "titles:")
	}
	for _, t := range c.titles {
		w.item(1)
		w.text("id", t.ID)
		w.list("path", t.Paths)
		w.text("group", t.Group)
		if t.MaxStreams > 0 {
			w.field("max_streams", fmt.Sprint(t.MaxStreams))
		}
		if !t.License.IsZero() {
			w.field("license", "")
			w.depth++
			w.text("url", t.License.URL)
			w.text("attribution", t.License.Attribution)
			w.text("source", t.License.Source)
			w.depth--
		}
		w.field("windows", "")
		depth := w.depth
		for i := range t.Windows {
			w.window(&t.Windows[i], depth+1)
		}
	}
	if len(c.blackouts) > 0 {
		w.line(0, "blackouts:")
	}
	for _, b := range c.blackouts {
		w.item(1)
		w.list("path", b.Paths)
		w.instant("from", b.From)
		w.instant("to", b.To)
		w.territories(b.Territories)
	}
	return w.b
}

// yamlWriter writes block style. Text is quoted as in JSON, which YAML reads as it is.
type yamlWriter struct {
	b     []byte
	depth int
	fresh bool // the next field begins an item of a list
}

func (w *yamlWriter) line(depth int, text string) {
	w.b = append(w.b, strings.Repeat("  ", depth)+text+"\n"...)
}

// item begins an item of a list, whose fields follow.
func (w *yamlWriter) item(depth int) { w.depth, w.fresh = depth+1, true }

func (w *yamlWriter) field(name, value string) {
	indent := strings.Repeat("  ", w.depth)
	if w.fresh {
		indent, w.fresh = strings.Repeat("  ", w.depth-1)+"- ", false
	}
	if value != "" {
		value = " " + value
	}
	w.b = append(w.b, indent+name+":"+value+"\n"...)
}

func (w *yamlWriter) text(name, text string) {
	if text != "" {
		w.field(name, quoted(text))
	}
}

func (w *yamlWriter) list(name string, words []string) {
	switch len(words) {
	case 0:
	case 1:
		w.text(name, words[0])
	default:
		texts := make([]string, len(words))
		for i, word := range words {
			texts[i] = quoted(word)
		}
		w.field(name, "["+strings.Join(texts, ", ")+"]")
	}
}

func (w *yamlWriter) instant(name string, t time.Time) {
	if !t.IsZero() {
		w.field(name, FormatTime(t))
	}
}

func (w *yamlWriter) territories(t *Territories) {
	w.list("territories", t.words)
	w.list("excluded", t.excluded)
}

func (w *yamlWriter) window(window *Window, depth int) {
	w.item(depth)
	w.field("model", window.Model.String())
	w.list("plans", window.Plans)
	w.territories(window.Territories)
	w.instant("start", window.Start)
	w.instant("end", window.End)
}

// quoted is text in double quotes. Those of JSON are also YAML, and end no line.
func quoted(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		return `""` // text always has a form
	}
	return string(b)
}
