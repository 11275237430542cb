package main

import (
	"context"

	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The verdict of Flux's kustomize-controller with the expressions of a Kustomization.
func judgeByExpressions(ctx context.Context, request *Request) (any, error) {
	newReader, err := cel.NewStatusReader(request.HealthCheckExprs)
	if err != nil {
		return nil, err
	}
	reader := newReader(nil)
	return judgeAll(request, func(object *unstructured.Unstructured) (Verdict, error) {
		result, err := reader.ReadStatusForObject(ctx, nil, object)
		if err != nil {
			return Verdict{}, err
		}
		verdict := Verdict{Status: result.Status.String(), Message: result.Message}
		if result.Error != nil {
			verdict.Message = result.Error.Error()
		}
		return verdict, nil
	})
}
