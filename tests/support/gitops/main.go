// The libraries that Helm, Flux and Argo CD judge and apply objects with, for tests in another language:
// a request as JSON in a file, the answer as JSON in another.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
)

// A subcommand answers a request.
type subcommand func(ctx context.Context, request *Request) (any, error)

var subcommands = map[string]subcommand{
	"kstatus":     judgeByKstatus,
	"flux-health": judgeByExpressions,
	"flux-apply":  applyAsFlux,
	"argo-health": judgeByScripts,
	"argo-apply":  applyAsArgo,
	"argo-diff":   compareAsArgo,
	"flux-decode": decodeAsFlux,
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) != 3 {
		return fmt.Errorf("a subcommand and the files of the request and the answer are expected, not %q", arguments)
	}
	answer, found := subcommands[arguments[0]]
	if !found {
		return fmt.Errorf("there is no subcommand %q", arguments[0])
	}
	text, err := os.ReadFile(arguments[1])
	if err != nil {
		return err
	}
	var request Request
	if err := json.Unmarshal(text, &request); err != nil {
		return fmt.Errorf("the request cannot be read: %w", err)
	}
	result, err := answer(context.Background(), &request)
	if err != nil {
		return err
	}
	text, err = json.Marshal(result)
	if err != nil {
		return err
	}
	return os.WriteFile(arguments[2], text, 0o600)
}
