package main

import (
	"context"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/cli-utils/pkg/kstatus/polling/engine"
	"github.com/fluxcd/pkg/runtime/cel"
	"github.com/fluxcd/pkg/ssa"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The name under which kustomize-controller applies, and the group of the labels that it adds.
const (
	fluxManager = "kustomize-controller"
	fluxGroup   = "kustomize.toolkit.fluxcd.io"
)

// Application is what one round of Flux did.
type Application struct {
	// Drift has what Flux would change, asked before it applies: the action by the object.
	Drift map[string]ssa.Action `json:"drift"`
	// Changes has what it did.
	Changes map[string]ssa.Action `json:"changes"`
	// WaitError is what the Kustomization would report of the health of the objects.
	WaitError string `json:"waitError"`
}

func applyAsFlux(ctx context.Context, request *Request) (any, error) {
	manager, err := fluxResourceManager(request)
	if err != nil {
		return nil, err
	}
	manager.SetOwnerLabels(request.Objects, "wandb-auth", "flux-system")
	application := Application{Drift: map[string]ssa.Action{}}
	for _, object := range request.Objects {
		change, _, _, err := manager.Diff(ctx, object.DeepCopy(), ssa.DefaultDiffOptions())
		if err != nil {
			return nil, err
		}
		application.Drift[change.Subject] = change.Action
	}
	changes, err := manager.ApplyAllStaged(ctx, request.Objects, fluxApplyOptions())
	if err != nil {
		return nil, err
	}
	application.Changes = changes.ToMap()
	if request.TimeoutSeconds > 0 {
		timeout := time.Duration(request.TimeoutSeconds) * time.Second
		wait := ssa.WaitOptions{Interval: 200 * time.Millisecond, Timeout: timeout}
		if err := manager.WaitForSetWithContext(ctx, changes.ToObjMetadataSet(), wait); err != nil {
			application.WaitError = err.Error()
		}
	}
	return application, nil
}

func fluxResourceManager(request *Request) (*ssa.ResourceManager, error) {
	config, err := clientcmd.BuildConfigFromFlags("", request.Kubeconfig)
	if err != nil {
		return nil, err
	}
	// The client's own limit would count as time that the objects took.
	config.QPS = -1
	cluster, err := client.New(config, client.Options{})
	if err != nil {
		return nil, err
	}
	var readers []engine.StatusReader
	if len(request.HealthCheckExprs) > 0 {
		newReader, err := cel.NewStatusReader(request.HealthCheckExprs)
		if err != nil {
			return nil, err
		}
		readers = append(readers, newReader(cluster.RESTMapper()))
	}
	poller := polling.NewStatusPoller(cluster, cluster.RESTMapper(), polling.Options{CustomStatusReaders: readers})
	return ssa.NewResourceManager(cluster, poller, ssa.Owner{Field: fluxManager, Group: fluxGroup}), nil
}

// What kustomize-controller takes over before it applies: the fields that kubectl wrote.
func fluxApplyOptions() ssa.ApplyOptions {
	options := ssa.DefaultApplyOptions()
	options.Cleanup = ssa.ApplyCleanupOptions{
		Annotations: []string{corev1.LastAppliedConfigAnnotation},
		FieldManagers: []ssa.FieldManager{
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: fluxManager, OperationType: metav1.ManagedFieldsOperationUpdate},
		},
		Exclusions: map[string]string{fluxGroup + "/ssa": "Merge"},
	}
	return options
}
