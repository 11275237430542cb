{{/* The groups of files/rules.yaml, with the names of the release and the values of prometheusRule. */}}
{{- define "operator.alerts" -}}
{{- $values := .Values.prometheusRule -}}
{{- $page := ternary (printf "%s/operate/alerts.html" $values.documentationURL) "docs/operate/alerts.md" (ne $values.documentationURL "") -}}
{{- $rules := .Files.Get "files/rules.yaml" | replace "RUNBOOK" $page -}}
{{- $rules = $rules | replace "RELEASE_NAMESPACE" (include "operator.namespace" .) | replace "RELEASE_FULLNAME" (include "operator.fullname" .) -}}
{{- range $name, $value := $values.thresholds -}}
{{- $rules = $rules | replace (printf "THRESHOLD_%s" $name) (toString $value) -}}
{{- end -}}
{{- with $values.alertLabels -}}
{{- range list "severity" "kind" "namespace" "name" "service" -}}
{{- if hasKey $values.alertLabels . -}}
{{- fail (printf "prometheusRule.alertLabels sets %s, which the alerts have already: take it out" .) -}}
{{- end -}}
{{- end -}}
{{- $rules = $rules | replace "\n        labels:\n" (printf "\n        labels:\n%s\n" (toYaml . | indent 10)) -}}
{{- end -}}
{{- $rules | trimSuffix "\n" -}}
{{- end -}}
