// What the libraries that W&B Server is built with make of the same bytes, for tests in another language:
// cases as JSON in a file, a verdict for each as JSON in another.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// Verdict is what a library thinks of a case.
type Verdict struct {
	Accepted bool `json:"accepted"`
	// Error is the library's own words, empty where it accepts.
	Error string `json:"error"`
}

// An expert judges one case, which it reads from JSON; the error is its refusal.
type expert func(request json.RawMessage) error

var experts = map[string]expert{
	"certificate-chain": judgeCertificateChain,
	"bundle":            judgeBundle,
	"discovery":         judgeDiscovery,
	"token":             judgeToken,
	"filter":            judgeFilter,
	"manifest":          judgeManifest,
	"proxies":           judgeProxies,
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == proxyOfThisProcess {
		printProxies(os.Args[2:])
		return
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) != 3 {
		return fmt.Errorf("a subject and the files of the cases and the verdicts are expected, not %q", arguments)
	}
	judge, found := experts[arguments[0]]
	if !found {
		return fmt.Errorf("there is no expert for %q", arguments[0])
	}
	text, err := os.ReadFile(arguments[1])
	if err != nil {
		return err
	}
	var cases []json.RawMessage
	if err := json.Unmarshal(text, &cases); err != nil {
		return fmt.Errorf("the cases cannot be read: %w", err)
	}
	verdicts := make([]Verdict, 0, len(cases))
	for _, request := range cases {
		verdict := Verdict{Accepted: true}
		if refusal := judge(request); refusal != nil {
			verdict = Verdict{Error: refusal.Error()}
		}
		verdicts = append(verdicts, verdict)
	}
	text, err = json.Marshal(verdicts)
	if err != nil {
		return err
	}
	return os.WriteFile(arguments[2], text, 0o600)
}

// A case that cannot be read is a mistake of the test, and no verdict.
func mustRead(request json.RawMessage, into any) {
	if err := json.Unmarshal(request, into); err != nil {
		fmt.Fprintf(os.Stderr, "the case %s cannot be read: %v\n", request, err)
		os.Exit(1)
	}
}
