package main

import (
	"context"
	"fmt"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/tracing"
	"github.com/go-logr/logr"
	"k8s.io/client-go/tools/clientcmd"

	cmdutil "k8s.io/kubectl/pkg/cmd/util"
)

// The name under which Argo CD applies.
const argoManager = "argocd-controller"

func argoCommands() *kube.KubectlCmd {
	return &kube.KubectlCmd{Log: logr.Discard(), Tracer: tracing.NopTracer{}}
}

// A synchronization of Argo CD, with or without its option ServerSideApply.
func applyAsArgo(ctx context.Context, request *Request) (any, error) {
	config, err := clientcmd.BuildConfigFromFlags("", request.Kubeconfig)
	if err != nil {
		return nil, err
	}
	operations, cleanUp, err := argoCommands().ManageResources(config)
	if err != nil {
		return nil, err
	}
	defer cleanUp()
	messages := make([]string, 0, len(request.Objects))
	for _, object := range request.Objects {
		message, err := operations.ApplyResource(
			ctx, object, cmdutil.DryRunNone, false, false, request.ServerSide, argoManager)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
		}
		messages = append(messages, message)
	}
	return messages, nil
}
