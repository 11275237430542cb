{{/* The arguments of the container, which values of their own set, and the value of each. */}}
{{- define "operator.ownArguments" -}}
--leader-elect: replicaCount
--lease-name: fullnameOverride
--metrics-address: listenAddress
--concurrency: concurrency
--deletion-patience: deletionPatience
--log-format: logFormat
--all-namespaces: allNamespaces
--namespace: watchNamespaces
--allow-egress: allowEgress
{{- end -}}

{{/* Arguments that people add. One that is given twice would keep the operator from starting. */}}
{{- define "operator.extraArgs" -}}
{{- $own := include "operator.ownArguments" . | fromYaml -}}
{{- range .Values.extraArgs -}}
{{- $flag := first (splitList "=" .) -}}
{{- if hasKey $own $flag -}}
{{- fail (printf "extraArgs sets %s, which the value %s is for: take it out, and set %s" $flag (get $own $flag) (get $own $flag)) -}}
{{- end -}}
{{- end -}}
{{- toYaml .Values.extraArgs -}}
{{- end -}}

{{/* Variables that people add. The API server takes none twice. */}}
{{- define "operator.extraEnv" -}}
{{- $own := list "POD_NAME" -}}
{{- if .Values.logFilter -}}
{{- $own = append $own "RUST_LOG" -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if has .name $own -}}
{{- fail (printf "extraEnv sets %s, which the chart sets itself%s: take it out" .name (ternary " by logFilter" "" (eq .name "RUST_LOG"))) -}}
{{- end -}}
{{- end -}}
{{- toYaml .Values.extraEnv -}}
{{- end -}}

{{/* A probe, if it is enabled: takes its name in the pod, what it asks for, and its values. */}}
{{- define "operator.probe" -}}
{{- $values := index . 2 -}}
{{- if $values.enabled -}}
{{ index . 0 }}:
  httpGet:
    path: {{ index . 1 }}
    port: metrics
  {{- with omit $values "enabled" }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
{{- end -}}

{{/* What a RollingUpdate has means nothing to a Recreate, and the API server refuses it there. */}}
{{- define "operator.strategy" -}}
{{- if eq .Values.strategy.type "Recreate" -}}
type: Recreate
{{- else -}}
{{- toYaml .Values.strategy -}}
{{- end -}}
{{- end -}}
