package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// answers is a transport that knows the answer to each URL, so that no network is needed.
type answers map[string]string

func (known answers) RoundTrip(request *http.Request) (*http.Response, error) {
	body, found := known[request.URL.String()]
	response := &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(body)), Request: request,
	}
	if !found {
		response.Status, response.StatusCode = "404 Not Found", http.StatusNotFound
	}
	return response, nil
}

func (known answers) context() context.Context {
	return oidc.ClientContext(context.Background(), &http.Client{Transport: known})
}

// discoveryCase is a discovery document and the issuer that it was asked of.
type discoveryCase struct {
	Issuer   string `json:"issuer"`
	Document string `json:"document"`
}

// judgeDiscovery does what oidc.NewProvider does with a discovery document.
func judgeDiscovery(request json.RawMessage) error {
	var given discoveryCase
	mustRead(request, &given)
	_, err := oidc.NewProvider(answers{wellKnown(given.Issuer): given.Document}.context(), given.Issuer)
	return err
}

func wellKnown(issuer string) string {
	return strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
}

// tokenCase is a token with the key set of its issuer.
type tokenCase struct {
	Issuer   string `json:"issuer"`
	Audience string `json:"audience"`
	// KeySet is the document at jwks_uri.
	KeySet string `json:"keySet"`
	Token  string `json:"token"`
	// Algorithms are those that the issuer's discovery document names; it does not have the field without any.
	Algorithms []string `json:"algorithms"`
	// Now is the time of the verification in seconds since 1970; zero is the present.
	Now int64 `json:"now"`
}

// judgeToken does what a server does that was configured with the issuer alone: oidc.NewProvider reads its
// document, and the provider's verifier reads the key set when the token comes.
func judgeToken(request json.RawMessage) error {
	var given tokenCase
	mustRead(request, &given)
	const keys = "https://issuer.invalid/keys"
	document, err := json.Marshal(struct {
		Issuer     string   `json:"issuer"`
		Keys       string   `json:"jwks_uri"`
		Algorithms []string `json:"id_token_signing_alg_values_supported,omitempty"`
	}{given.Issuer, keys, given.Algorithms})
	if err != nil {
		return err
	}
	ctx := answers{wellKnown(given.Issuer): string(document), keys: given.KeySet}.context()
	provider, err := oidc.NewProvider(ctx, given.Issuer)
	if err != nil {
		return err
	}
	config := &oidc.Config{ClientID: given.Audience}
	if given.Now != 0 {
		config.Now = func() time.Time { return time.Unix(given.Now, 0) }
	}
	_, err = provider.VerifierContext(ctx, config).Verify(ctx, given.Token)
	return err
}
