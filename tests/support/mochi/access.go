package main

import (
	"fmt"
	"strings"
)

// rule is one line `topic read|write PATTERN` of an access list.
type rule struct {
	write   bool
	pattern []string
}

// rules has each user's lines; what no line allows is denied.
type rules map[string][]rule

// parse reads the part of Mosquitto's format that our lists use, and refuses everything else.
func parse(text string) (rules, error) {
	found, user := rules{}, ""
	for number, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case len(words) == 2 && words[0] == "user":
			user = words[1]
		case len(words) == 3 && words[0] == "topic" && user != "" &&
			(words[1] == "read" || words[1] == "write"):
			found[user] = append(found[user], rule{words[1] == "write", strings.Split(words[2], "/")})
		default:
			return nil, fmt.Errorf("line %d of the access list cannot be read: %q", number+1, line)
		}
	}
	return found, nil
}

func (r rules) allow(user, topic string, write bool) bool {
	levels := strings.Split(topic, "/")
	for _, one := range r[user] {
		if one.write == write && matches(one.pattern, levels) {
			return true
		}
	}
	return false
}

// matches compares by level; a wildcard at the top does not stand for `$SYS`.
func matches(pattern, levels []string) bool {
	for at, want := range pattern {
		if at == 0 && (want == "+" || want == "#") && strings.HasPrefix(levels[0], "$") {
			return false
		}
		if want == "#" {
			return true
		}
		if at >= len(levels) || (want != "+" && want != levels[at]) {
			return false
		}
	}
	return len(pattern) == len(levels)
}
