{{/* The rights that the operator needs in each namespace that it manages, and no others. */}}
{{- define "operator.rules" -}}
{{- $targets := .Values.targets -}}
{{- $ofTarget := list "get" "list" "watch" "patch" -}}
{{- $delivers := or $targets.deployment $targets.statefulSet $targets.weightsAndBiases -}}
{{- $ofSecrets := list "get" "list" "watch" "create" "update" -}}
{{- if $delivers -}}
{{- $ofSecrets = concat $ofSecrets (list "patch" "delete") -}}
{{- end -}}
- apiGroups: [auth.wandb.com]
  resources: [jwtissuers, ldapconfigs, oidcproviders, serviceaccounts]
  verbs: [get, list, watch]
- apiGroups: [auth.wandb.com]
  resources: [jwtissuers/status, ldapconfigs/status, oidcproviders/status, serviceaccounts/status]
  verbs: [patch]
# The finalizers that keep a resource until its keys are revoked and its target is cleaned.
- apiGroups: [auth.wandb.com]
  resources: [jwtissuers, ldapconfigs, oidcproviders, serviceaccounts]
  verbs: [patch]
# Whether the namespace is being deleted: then no resource in it may be kept any more.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
# Changes are watched as metadata only, but Kubernetes has no separate right for that.
{{- if $delivers }}
# The numbered revisions of a Secret, which only targets refer to, are marked (patch) and deleted.
{{- end }}
- apiGroups: [""]
  resources: [secrets]
  verbs: [{{ join ", " $ofSecrets }}]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- if $delivers }}
# Only for resources with a spec.target: the workloads, and their pods to see what became of a rollout.
# Whatever the target is, all that has pods or makes them is listed before a Secret goes that one may refer to.
{{- /* The W&B operator v1 does not watch the Deployments that it makes of its resource, so this one does. */}}
- apiGroups: [apps]
  resources: [deployments]
  verbs: [{{ join ", " (ternary $ofTarget (ternary (list "list" "watch") (list "list") $targets.weightsAndBiases) $targets.deployment) }}]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [{{ join ", " (ternary $ofTarget (list "list") $targets.statefulSet) }}]
- apiGroups: [apps]
  resources: [controllerrevisions, daemonsets, replicasets]
  verbs: [list]
- apiGroups: [batch]
  resources: [cronjobs, jobs]
  verbs: [list]
{{- if $targets.weightsAndBiases }}
- apiGroups: [apps.wandb.com]
  resources: [weightsandbiases]
  verbs: [{{ join ", " $ofTarget }}]
{{- end }}
{{- $ofPods := list "list" -}}
{{- if $targets.statefulSet }}
# A pod is deleted only where a StatefulSet cannot go back without that.
{{- $ofPods = append $ofPods "delete" -}}
{{- end }}
{{- if .Values.serverPodChecks.enabled }}
# Pods like the server's, which make checks in its place, are made, looked at and deleted.
{{- $ofPods = concat $ofPods (list "get" "create" "delete") | uniq -}}
{{- end }}
- apiGroups: [""]
  resources: [pods]
  verbs: [{{ join ", " $ofPods }}]
{{- else if .Values.serverPodChecks.enabled }}
{{- fail "serverPodChecks.enabled needs one of targets, since the checks are made from pods like those of a target: set the one that you use to true" }}
{{- end }}
{{- end -}}
