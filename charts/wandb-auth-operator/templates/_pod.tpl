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
--proxy-ca-file: proxy.caBundle
--server-pod-checks: serverPodChecks
--image: image
--image-pull-secret: imagePullSecrets
{{- end -}}

{{/* Arguments that people add. One that is given twice would keep the operator from starting. */}}
{{- define "operator.extraArgs" -}}
{{- $own := include "operator.ownArguments" . | fromYaml -}}
{{- range .Values.extraArgs -}}
{{- $flag := first (splitList "=" .) -}}
{{- if hasKey $own $flag -}}
{{- fail (printf "extraArgs sets %s, which the value %s is for: remove it, and set %s" $flag (get $own $flag) (get $own $flag)) -}}
{{- end -}}
{{- end -}}
{{- toYaml .Values.extraArgs -}}
{{- end -}}

{{/* Variables that people add. The API server takes none twice, and those of arguments would go round the values. */}}
{{- define "operator.extraEnv" -}}
{{- $arguments := include "operator.ownArguments" . | fromYaml -}}
{{- $own := list "POD_NAME" -}}
{{- if .Values.logFilter -}}
{{- $own = append $own "RUST_LOG" -}}
{{- end -}}
{{- $proxies := list "HTTP_PROXY" "HTTPS_PROXY" "NO_PROXY" -}}
{{- $seen := list -}}
{{- range .Values.extraEnv -}}
{{- $name := .name -}}
{{- if has .name $own -}}
{{- fail (printf "extraEnv sets %s, which the chart sets itself%s: remove it" .name (ternary " by logFilter" "" (eq .name "RUST_LOG"))) -}}
{{- end -}}
{{- if and (include "operator.hasProxy" $) (has (upper .name) $proxies) -}}
{{- fail (printf "extraEnv sets %s, which the value proxy is for: take it out, and set proxy" .name) -}}
{{- end -}}
{{- if hasPrefix "WANDB_AUTH_" .name -}}
{{- $flag := .name | trimPrefix "WANDB_AUTH_" | lower | replace "_" "-" | printf "--%s" -}}
{{- with get $arguments $flag -}}
{{- fail (printf "extraEnv sets %s, which the value %s is for: remove it, and set %s" $name . .) -}}
{{- end -}}
{{- fail (printf "extraEnv sets %s, which sets the argument %s: remove it, and put the argument into extraArgs" .name $flag) -}}
{{- end -}}
{{- if has .name $seen -}}
{{- fail (printf "extraEnv sets %s twice: remove one of the two" .name) -}}
{{- end -}}
{{- $seen = append $seen .name -}}
{{- end -}}
{{- toYaml .Values.extraEnv -}}
{{- end -}}

{{/*
Variables that no Secret or ConfigMap of extraEnvFrom may set: they would widen what the operator manages and connects
to. A variable that the container has itself comes before theirs. An argument comes before both.
*/}}
{{- define "operator.guardedEnv" -}}
{{- if not .Values.watchNamespaces }}
- name: WANDB_AUTH_NAMESPACE
  value: ""
{{- end }}
{{- if not .Values.allNamespaces }}
- name: WANDB_AUTH_ALL_NAMESPACES
  value: "false"
{{- end }}
{{- if not .Values.allowEgress }}
- name: WANDB_AUTH_ALLOW_EGRESS
  value: ""
{{- end }}
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
{{- $rolling := .Values.strategy.rollingUpdate | default dict -}}
{{- if and (regexMatch "^0+%?$" (toString $rolling.maxSurge)) (regexMatch "^0+%?$" (toString $rolling.maxUnavailable)) -}}
{{- fail "strategy.rollingUpdate.maxSurge and strategy.rollingUpdate.maxUnavailable are both 0, so no pod could be replaced: raise one of them" -}}
{{- end -}}
{{- toYaml .Values.strategy -}}
{{- end -}}
{{- end -}}
