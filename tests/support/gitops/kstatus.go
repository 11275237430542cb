package main

import (
	"context"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The verdict of `helm --wait`, and of Flux where it has no expressions for a kind.
func judgeByKstatus(_ context.Context, request *Request) (any, error) {
	return judgeAll(request, func(object *unstructured.Unstructured) (Verdict, error) {
		result, err := status.Compute(object)
		if err != nil {
			return Verdict{}, err
		}
		return Verdict{Status: result.Status.String(), Message: result.Message}, nil
	})
}
