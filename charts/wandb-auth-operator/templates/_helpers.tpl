{{/*
The name of all objects: the release's, with the chart's unless that is part of it. A release may have dots in its
name and begin with a digit, a Service may not.
*/}}
{{- define "operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $chart := .Values.nameOverride | default .Chart.Name -}}
{{- $release := regexReplaceAll "^([0-9])" (.Release.Name | replace "." "-") "release-${1}" -}}
{{- $name := ternary $release (printf "%s-%s" $release $chart) (contains $chart $release) -}}
{{- $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The namespace of the operator and of all objects that are in no other one. */}}
{{- define "operator.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end -}}

{{/* What never changes about a release, as selectors need: neither names nor labels that people choose. */}}
{{- define "operator.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ toYaml .Release.Name }}
{{- end -}}

{{/* The labels that the chart sets by itself. */}}
{{- define "operator.ownLabels" -}}
{{ include "operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/*
A map of the values, such as podLabels or service.annotations, together with the common one, as JSON: takes the root,
the path of the common map and the path of the other, which may be empty. The other one comes first.
*/}}
{{- define "operator.mapWithCommon" -}}
{{- $root := index . 0 -}}
{{- $result := dict -}}
{{- range rest . -}}
{{- $map := $root.Values -}}
{{- range compact (splitList "." .) -}}
{{- $map = get $map . | default dict -}}
{{- end -}}
{{- if . -}}
{{- $result = mergeOverwrite $result $map -}}
{{- end -}}
{{- end -}}
{{- toJson $result -}}
{{- end -}}

{{/* The chart's own labels and those of people: takes the root, the name of the former and the path of the latter. */}}
{{- define "operator.labelsWith" -}}
{{- $root := index . 0 -}}
{{- $own := include (index . 1) $root -}}
{{- $path := index . 2 -}}
{{- $further := include "operator.mapWithCommon" (list $root "commonLabels" $path) | fromJson -}}
{{- range $label := $own | fromYaml | keys | sortAlpha -}}
{{- if hasKey $further $label -}}
{{- $culprit := ternary "commonLabels" $path (hasKey ($root.Values.commonLabels | default dict) $label) -}}
{{- fail (printf "%s sets %s, which the chart sets itself: remove it" $culprit $label) -}}
{{- end -}}
{{- end -}}
{{ $own }}
{{- with $further }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The labels of an object without further ones. */}}
{{- define "operator.labels" -}}
{{- include "operator.labelsWith" (list . "operator.ownLabels" "") -}}
{{- end -}}

{{- define "operator.podLabels" -}}
{{- include "operator.labelsWith" (list . "operator.selectorLabels" "podLabels") -}}
{{- end -}}

{{- define "operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "operator.fullname" .) -}}
{{- else -}}
{{- required "serviceAccount.create is false, so an existing service account is used: put its name into serviceAccount.name" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* A registry in image.repository and another one beside it cannot both be meant. */}}
{{- define "operator.image" -}}
{{- $image := .Values.image -}}
{{- $global := (.Values.global | default dict).imageRegistry -}}
{{- $registry := $global | default $image.registry -}}
{{- $host := first (splitList "/" $image.repository) -}}
{{- if and $registry (contains "/" $image.repository) (or (contains "." $host) (contains ":" $host)) -}}
{{- fail (printf "image.repository names the registry %s, and %s one, too: remove it from image.repository" $host (ternary "global.imageRegistry" "image.registry" (not (empty $global)))) -}}
{{- end -}}
{{- $repository := ternary (printf "%s/%s" $registry $image.repository) $image.repository (not (empty $registry)) -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository ($image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* The Secrets for the registry, each once, as JSON; nothing where there are none. */}}
{{- define "operator.imagePullSecrets" -}}
{{- $secrets := list -}}
{{- range concat ((.Values.global | default dict).imagePullSecrets | default list) (.Values.imagePullSecrets | default list) -}}
{{- $secrets = append $secrets (ternary (dict "name" .) . (kindIs "string" .)) -}}
{{- end -}}
{{- if $secrets -}}
{{- $secrets | uniq | toJson -}}
{{- end -}}
{{- end -}}

{{/* The namespaces that the operator watches, as JSON; none where it is all of them. */}}
{{- define "operator.namespaces" -}}
{{- if .Values.allNamespaces -}}
{{- if .Values.watchNamespaces -}}
{{- fail "allNamespaces and watchNamespaces cannot be used together: leave watchNamespaces empty, or set allNamespaces to false" -}}
{{- end -}}
[]
{{- else -}}
{{- .Values.watchNamespaces | default (list (include "operator.namespace" .)) | uniq | toJson -}}
{{- end -}}
{{- end -}}

{{/*
Name, namespace, labels and annotations of an object. It takes:
  root         the root
  suffix       what follows the name of all objects; or name, the whole name
  namespace    the namespace; none for an object of the cluster
  labels       the path of further labels in the values, if there are any
  own          the name of the chart's own labels, where they are not those of most objects
  annotations  the same for annotations
A name such as true has quotes, since YAML would take it for something else than a text.
An object in the release's own namespace says none: helm, kubectl -n and Argo CD put it there, so that the rendered text
fits every namespace.
*/}}
{{- define "operator.metadata" -}}
{{- $root := .root -}}
name: {{ .name | default (printf "%s%s" (include "operator.fullname" $root) (.suffix | default "")) | toYaml }}
{{- with .namespace }}
{{- if ne . $root.Release.Namespace }}
namespace: {{ . | quote }}
{{- end }}
{{- end }}
labels:
  {{- include "operator.labelsWith" (list $root (.own | default "operator.ownLabels") (.labels | default "")) | nindent 2 }}
{{- with include "operator.mapWithCommon" (list $root "commonAnnotations" (.annotations | default "")) | fromJson }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The prefix of names in the cluster, where releases of one name in several namespaces meet. */}}
{{- define "operator.clusterName" -}}
{{- printf "%s:%s" (include "operator.namespace" .) (include "operator.fullname" .) -}}
{{- end -}}

{{/* Lets the operator's service account have the Role of the same name; takes root, suffix and namespace. */}}
{{- define "operator.roleBinding" -}}
{{- $own := include "operator.namespace" .root -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "operator.metadata" . | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ printf "%s%s" (include "operator.fullname" .root) .suffix | toYaml }}
subjects:
  - kind: ServiceAccount
    name: {{ include "operator.serviceAccountName" .root | toYaml }}
    {{- if ne .namespace $own }}
    namespace: {{ $own | quote }}
    {{- end }}
{{- end -}}

{{/*
The text of an object that people add, with the namespace of all objects where it names none: takes the root and the text.
Objects that are in no namespace are known by their kinds.
*/}}
{{- define "operator.placed" -}}
{{- $object := index . 1 | fromYaml -}}
{{- $ofCluster := "^(Cluster.*|Namespace|Node|PersistentVolume|CustomResourceDefinition|APIService|.*Class|.*WebhookConfiguration|(Validating|Mutating)Admission.*)$" -}}
{{- $named := dig "metadata" "namespace" "" $object -}}
{{- if or $named (not $object.kind) (regexMatch $ofCluster (toString $object.kind)) -}}
{{- index . 1 | trim -}}
{{- else -}}
{{- $metadata := set ($object.metadata | default dict) "namespace" (include "operator.namespace" (index . 0)) -}}
{{- set $object "metadata" $metadata | toYaml -}}
{{- end -}}
{{- end -}}
