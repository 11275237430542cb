{{/*
The name of all objects: the release's, with the chart's unless that is part of it. A release may have dots in its
name and begin with a digit, a Service may not.
*/}}
{{- define "operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $release := regexReplaceAll "^([0-9])" (.Release.Name | replace "." "-") "release-${1}" -}}
{{- $name := ternary $release (printf "%s-%s" $release .Chart.Name) (contains .Chart.Name $release) -}}
{{- $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What never changes about a release, as selectors need. */}}
{{- define "operator.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* With another value of those that it is selected by, a pod would be nobody's. */}}
{{- define "operator.podLabels" -}}
{{- range $label := include "operator.selectorLabels" . | fromYaml | keys | sortAlpha -}}
{{- if hasKey ($.Values.podLabels | default dict) $label -}}
{{- fail (printf "podLabels sets %s, which the pods are selected by: take it out" $label) -}}
{{- end -}}
{{- end -}}
{{ include "operator.selectorLabels" . }}
{{- with .Values.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "operator.labels" -}}
{{ include "operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "operator.fullname" .) -}}
{{- else -}}
{{- required "serviceAccount.create is false, so an existing service account is used: put its name into serviceAccount.name" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "operator.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* The namespaces that are looked after, as JSON; none where it is all of them. */}}
{{- define "operator.namespaces" -}}
{{- if .Values.allNamespaces -}}
{{- if .Values.watchNamespaces -}}
{{- fail "allNamespaces and watchNamespaces exclude each other: leave watchNamespaces empty, or set allNamespaces to false" -}}
{{- end -}}
[]
{{- else -}}
{{- .Values.watchNamespaces | default (list .Release.Namespace) | uniq | toJson -}}
{{- end -}}
{{- end -}}

{{/*
Name, namespace and labels of an object: takes the root, the name's suffix and the namespace. One in the
release's own namespace says none: helm, kubectl -n and Argo CD put it there, so that the rendered text
fits every namespace.
*/}}
{{- define "operator.metadata" -}}
{{- $root := index . 0 -}}
{{- $namespace := index . 2 -}}
name: {{ include "operator.fullname" $root }}{{ index . 1 }}
{{- if ne $namespace $root.Release.Namespace }}
namespace: {{ $namespace | quote }}
{{- end }}
labels:
  {{- include "operator.labels" $root | nindent 2 }}
{{- end -}}

{{/* The prefix of names in the cluster, where releases of one name in several namespaces meet. */}}
{{- define "operator.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "operator.fullname" .) -}}
{{- end -}}

{{/* Lets the operator's service account have the Role of the same name; takes the same list. */}}
{{- define "operator.roleBinding" -}}
{{- $root := index . 0 -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "operator.metadata" . | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ include "operator.fullname" $root }}{{ index . 1 }}
subjects:
  - kind: ServiceAccount
    name: {{ include "operator.serviceAccountName" $root }}
    {{- if ne (index . 2) $root.Release.Namespace }}
    namespace: {{ $root.Release.Namespace | quote }}
    {{- end }}
{{- end -}}
