package main

import (
	"github.com/fluxcd/pkg/apis/kustomize"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Request is what all subcommands read; each looks at what it needs.
type Request struct {
	// Kubeconfig is a file, for those that speak with a cluster.
	Kubeconfig string `json:"kubeconfig"`
	// Objects are live ones to judge, or manifests to apply or compare.
	Objects []*unstructured.Unstructured `json:"objects"`
	// HealthCheckExprs is that field of a Flux Kustomization.
	HealthCheckExprs []kustomize.CustomHealthCheck `json:"healthCheckExprs"`
	// TimeoutSeconds lets Flux wait for what it applied, where it is not zero.
	TimeoutSeconds int `json:"timeoutSeconds"`
	// ConfigMap is the data of argocd-cm.
	ConfigMap map[string]string `json:"configMap"`
	// ServerSide lets Argo CD apply on the server's side.
	ServerSide bool `json:"serverSide"`
	// Comparison is how Argo CD compares: ThreeWay, StructuredMerge or ServerSide.
	Comparison string `json:"comparison"`
}

// Verdict is what a tool thinks of an object.
type Verdict struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

// Judges every object in turn.
func judgeAll(request *Request, judge func(*unstructured.Unstructured) (Verdict, error)) (any, error) {
	verdicts := make([]Verdict, 0, len(request.Objects))
	for _, object := range request.Objects {
		verdict, err := judge(object)
		if err != nil {
			return nil, err
		}
		verdicts = append(verdicts, verdict)
	}
	return verdicts, nil
}
