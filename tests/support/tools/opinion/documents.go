package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
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
	address := strings.TrimSuffix(given.Issuer, "/") + "/.well-known/openid-configuration"
	_, err := oidc.NewProvider(answers{address: given.Document}.context(), given.Issuer)
	return err
}

// tokenCase is a token with the key set of its issuer.
type tokenCase struct {
	Issuer   string `json:"issuer"`
	Audience string `json:"audience"`
	// KeySet is the document at jwks_uri.
	KeySet string `json:"keySet"`
	Token  string `json:"token"`
	// Algorithms are those that the issuer's discovery document names.
	Algorithms []string `json:"algorithms"`
	// Now is the time of the verification in seconds since 1970; zero is the present.
	Now int64 `json:"now"`
}

// judgeToken does what go-oidc's verifier does with a token, by go-jose.
func judgeToken(request json.RawMessage) error {
	var given tokenCase
	mustRead(request, &given)
	const address = "https://issuer.invalid/keys"
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(given.KeySet), &set); err != nil {
		return err
	}
	ctx := answers{address: given.KeySet}.context()
	config := &oidc.Config{ClientID: given.Audience, SupportedSigningAlgs: given.Algorithms}
	if given.Now != 0 {
		config.Now = func() time.Time { return time.Unix(given.Now, 0) }
	}
	_, err := oidc.NewVerifier(given.Issuer, oidc.NewRemoteKeySet(ctx, address), config).Verify(ctx, given.Token)
	return err
}
