package main

import (
	"encoding/json"

	"github.com/go-ldap/ldap/v3"
)

// judgeFilter does what go-ldap does with a search filter.
func judgeFilter(request json.RawMessage) error {
	var filter string
	mustRead(request, &filter)
	_, err := ldap.CompileFilter(filter)
	return err
}
