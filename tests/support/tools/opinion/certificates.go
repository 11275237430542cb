package main

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"time"
)

// chainCase is what a client verifies when a server presents its certificates.
type chainCase struct {
	// Presented has the server's certificates as PEM, its own one first.
	Presented string `json:"presented"`
	// Bundle has the trusted authorities as PEM, beside which nothing is trusted.
	Bundle string `json:"bundle"`
	// Name is the host as it stands in the address.
	Name string `json:"name"`
	// Now is the time of the handshake in seconds since 1970; zero is the present.
	Now int64 `json:"now"`
}

// judgeCertificateChain does what crypto/tls does with a server's certificates.
func judgeCertificateChain(request json.RawMessage) error {
	var given chainCase
	mustRead(request, &given)
	var presented []*x509.Certificate
	for block, rest := pem.Decode([]byte(given.Presented)); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return err
		}
		presented = append(presented, certificate)
	}
	if len(presented) == 0 {
		return errors.New("the server presents no certificate")
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(given.Bundle))
	options := x509.VerifyOptions{Roots: roots, DNSName: given.Name, Intermediates: x509.NewCertPool()}
	if given.Now != 0 {
		options.CurrentTime = time.Unix(given.Now, 0)
	}
	for _, certificate := range presented[1:] {
		options.Intermediates.AddCert(certificate)
	}
	_, err := presented[0].Verify(options)
	return err
}

// judgeBundle does what AppendCertsFromPEM does with a bundle, which it refuses where it reads no certificate.
func judgeBundle(request json.RawMessage) error {
	var text string
	mustRead(request, &text)
	if !x509.NewCertPool().AppendCertsFromPEM([]byte(text)) {
		return errors.New("no certificate was read")
	}
	return nil
}
