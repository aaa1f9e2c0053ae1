package caddymodule

import "time"

// clockOfNewApps tells the time to the configurations that are loaded from now on: tests put a clock of their own here.
var clockOfNewApps = time.Now

// now is the instant that everything about this request is judged by: access, sessions, the age that an answer may reach.
func (q *request) now() time.Time { return q.app.clock() }
