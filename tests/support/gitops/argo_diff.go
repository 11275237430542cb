package main

import (
	"context"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/diff"
	"github.com/go-logr/logr"
	"k8s.io/client-go/tools/clientcmd"
)

// Comparison is how Argo CD sees an object beside its manifest.
type Comparison struct {
	// Modified is what makes an application OutOfSync.
	Modified bool `json:"modified"`
	// Live and Predicted show the difference.
	Live      string `json:"live"`
	Predicted string `json:"predicted"`
}

// A comparison of Argo CD: ThreeWay is its default, StructuredMerge what it does where an application has the
// option ServerSideApply, ServerSide where it has the option ServerSideDiff.
func compareAsArgo(ctx context.Context, request *Request) (any, error) {
	config, err := clientcmd.BuildConfigFromFlags("", request.Kubeconfig)
	if err != nil {
		return nil, err
	}
	commands := argoCommands()
	_, parser, err := commands.LoadOpenAPISchema(config)
	if err != nil {
		return nil, err
	}
	applier, cleanUp, err := commands.ManageServerSideDiffDryRuns(config)
	if err != nil {
		return nil, err
	}
	defer cleanUp()
	options := []diff.Option{
		diff.WithLogr(logr.Discard()),
		diff.WithManager(argoManager),
		diff.WithGVKParser(parser),
		diff.WithStructuredMergeDiff(request.Comparison == "StructuredMerge"),
		diff.WithServerSideDiff(request.Comparison == "ServerSide"),
		diff.WithServerSideDryRunner(diff.NewK8sServerSideDryRunner(applier)),
	}
	comparisons := make([]Comparison, 0, len(request.Objects))
	for _, object := range request.Objects {
		live, err := commands.GetResource(
			ctx, config, object.GroupVersionKind(), object.GetName(), object.GetNamespace())
		if err != nil {
			return nil, err
		}
		result, err := diff.Diff(object, live, options...)
		if err != nil {
			return nil, err
		}
		comparisons = append(comparisons, Comparison{
			Modified:  result.Modified,
			Live:      string(result.NormalizedLive),
			Predicted: string(result.PredictedLive),
		})
	}
	return comparisons, nil
}
