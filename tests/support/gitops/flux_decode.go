package main

import (
	"context"
	"encoding/json"
	"fmt"

	helm "github.com/fluxcd/helm-controller/api/v2"
	kustomize "github.com/fluxcd/kustomize-controller/api/v1"
	source "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/runtime"

	kubejson "sigs.k8s.io/json"
)

// Reads every object as Flux's own types and refuses fields that they do not have.
func decodeAsFlux(_ context.Context, request *Request) (any, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{helm.AddToScheme, kustomize.AddToScheme, source.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	for _, object := range request.Objects {
		typed, err := scheme.New(object.GroupVersionKind())
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(object)
		if err != nil {
			return nil, err
		}
		strict, err := kubejson.UnmarshalStrict(text, typed)
		if err != nil {
			return nil, err
		}
		if len(strict) > 0 {
			return nil, fmt.Errorf("%s %s: %v", object.GetKind(), object.GetName(), strict)
		}
	}
	return len(request.Objects), nil
}
