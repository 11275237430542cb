{{/* The groups of files/rules.yaml, with the names of the release and the values of prometheusRule. */}}
{{- define "operator.alerts" -}}
{{- $values := .Values.prometheusRule -}}
{{- $page := ternary (printf "%s/operate/alerts.html" $values.documentationURL) "docs/operate/alerts.md" (ne $values.documentationURL "") -}}
{{- $rules := .Files.Get "files/rules.yaml" | replace "RUNBOOK" $page -}}
{{- $rules = $rules | replace "RELEASE_NAMESPACE" (include "operator.namespace" .) | replace "RELEASE_FULLNAME" (include "operator.fullname" .) -}}
{{- range $name, $value := $values.thresholds -}}
{{- $rules = $rules | replace (printf "THRESHOLD_%s" $name) (toString $value) -}}
{{- end -}}
{{- with regexFind "THRESHOLD_[A-Za-z]+" $rules -}}
{{- fail (printf "prometheusRule.thresholds.%s is null: give it a value, or remove it to get the default" (trimPrefix "THRESHOLD_" .)) -}}
{{- end -}}
{{- with $values.alertLabels -}}
{{- range list "severity" "kind" "namespace" "name" "service" -}}
{{- if hasKey $values.alertLabels . -}}
{{- fail (printf "prometheusRule.alertLabels sets %s, which the alerts have already: remove it" .) -}}
{{- end -}}
{{- end -}}
{{- $rules = $rules | replace "\n        labels:\n" (printf "\n        labels:\n%s\n" (toYaml . | indent 10)) -}}
{{- end -}}
{{- $rules | trimSuffix "\n" -}}
{{- end -}}

{{/* The milliseconds of a time of Prometheus such as 1m30s; 0 where there is none. */}}
{{- define "operator.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 -}}
{{- $sum := 0 -}}
{{- range regexFindAll "[0-9]+[a-z]+" (. | default "") -1 -}}
{{- $unit := regexFind "[a-z]+" . -}}
{{- $sum = add $sum (mul (trimSuffix $unit . | int64) (get $units $unit)) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}
