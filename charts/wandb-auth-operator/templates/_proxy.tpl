{{/* Whether there is a proxy. */}}
{{- define "operator.hasProxy" -}}
{{- $proxy := .Values.proxy -}}
{{- if or $proxy.httpProxy $proxy.httpsProxy $proxy.secretRef.name }}true{{ end -}}
{{- end -}}

{{/*
The variables of proxies. The operator talks to its own API server directly in any case; the exceptions say the same to
whatever else reads them.
*/}}
{{- define "operator.proxyEnv" -}}
{{- $proxy := .Values.proxy -}}
{{- range $variable, $prefix := dict "HTTP_PROXY" "httpProxy" "HTTPS_PROXY" "httpsProxy" -}}
{{- $url := get $proxy $prefix -}}
{{- $key := ternary (get $proxy.secretRef (printf "%sKey" $prefix)) "" (ne $proxy.secretRef.name "") -}}
{{- if contains "@" $url -}}
{{- fail (printf "proxy.%s has credentials, which everybody could read who may read the Deployment: put the whole URL into a Secret, and name that in proxy.secretRef" $prefix) -}}
{{- end -}}
{{- if and $url (not (regexMatch "^https?://[^/[:space:]]+/?$" $url)) -}}
{{- fail (printf "proxy.%s must be a URL such as http://proxy.example.com:3128" $prefix) -}}
{{- end -}}
{{- if and $url $key -}}
{{- fail (printf "proxy.%s and proxy.secretRef.%sKey both name a proxy: set one of the two to \"\"" $prefix $prefix) -}}
{{- end -}}
{{- if $url }}
- name: {{ $variable }}
  value: {{ $url | quote }}
{{- else if $key }}
- name: {{ $variable }}
  valueFrom:
    secretKeyRef:
      name: {{ $proxy.secretRef.name }}
      key: {{ $key }}
{{- end -}}
{{- end }}
- name: NO_PROXY
  value: {{ prepend (list "kubernetes.default.svc" "$(KUBERNETES_SERVICE_HOST)") (trimAll ", " $proxy.noProxy) | compact | join "," | quote }}
{{- end -}}

{{/* The ports of the proxies whose URLs are values. The network policy must allow them. */}}
{{- define "operator.proxyPorts" -}}
{{- $policy := .Values.networkPolicy -}}
{{- $allowed := concat (default list $policy.proxyPorts) (default list $policy.httpsPorts) | toStrings -}}
{{- range $value := list "httpProxy" "httpsProxy" -}}
{{- with get $.Values.proxy $value -}}
{{- $port := ternary "443" "80" (hasPrefix "https://" .) -}}
{{- with regexFind ":[0-9]+$" (trimSuffix "/" .) -}}
{{- $port = trimPrefix ":" . -}}
{{- end -}}
{{- if and (not (has $port $allowed)) (not $policy.extraEgress) -}}
{{- fail (printf "proxy.%s is at port %s, which networkPolicy.proxyPorts does not allow: add it there" $value $port) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- default list $policy.proxyPorts | toYaml -}}
{{- end -}}

{{/* Where the bundle of proxy.caBundle is. */}}
{{- define "operator.proxyBundle" -}}
/etc/wandb-auth-operator/proxy
{{- end -}}
