{{/* One application's Deployment, from a dict with its `name` and the `root` context. */}}
{{- define "application" }}
{{- $values := index .root.Values .name }}
{{- $global := .root.Values.global }}
{{- $labels := dict "app.kubernetes.io/name" .name "app.kubernetes.io/instance" .root.Release.Name }}
{{- $container := index $values.containers .name }}
{{- $env := merge (deepCopy (default (dict) $container.env)) (deepCopy (default (dict) $values.env)) $values.extraEnv $global.env $global.extraEnv }}
{{- /* Releases before 0.33.0 write wandb/local with a template of their own. */}}
{{- $takesReferences := or (ne .name "app") (semverCompare ">=0.33.0-0" .root.Chart.Version) }}
{{- $oidc := $global.auth.oidc }}
{{- $hasSecret := and $values.oidcSecret (semverCompare ">=0.38.0-0" .root.Chart.Version) (or $oidc.secret $oidc.oidcSecret.name) }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .root.Release.Name }}-{{ .name }}{{ $values.postfix }}
  labels: {{ merge (dict "app.kubernetes.io/managed-by" "Helm") $labels | toJson }}
spec:
  replicas: {{ $values.replicas }}
  selector: {matchLabels: {{ $labels | toJson }}}
  template:
    metadata: {labels: {{ $labels | toJson }}}
    spec:
      containers:
        - name: {{ .name }}
          image: {{ $values.image }}
          readinessProbe: {httpGet: {path: /ready, port: 8080}}
          terminationMessagePolicy: FallbackToLogsOnError
          envFrom:
          {{- range $values.configMaps }}
            - configMapRef: {name: {{ $.root.Release.Name }}-{{ . }}-configmap}
          {{- end }}
          env:
          {{- range $secret := ternary (list "GORILLA_OIDC_SECRET" "OIDC_SECRET") (list) (not (not $hasSecret)) }}
          {{- if not (hasKey $env $secret) }}
            - name: {{ $secret }}
              valueFrom: {secretKeyRef: {name: {{ default (printf "%s-oidc-secret" $.root.Release.Name) $oidc.oidcSecret.name }}, key: {{ $oidc.oidcSecret.secretKey }}}}
          {{- end }}
          {{- end }}
          {{- range $name, $value := $env }}
            - name: {{ $name }}
            {{- if and $takesReferences (kindIs "map" $value) }}
              {{- tpl (toYaml $value) $.root | nindent 14 }}
            {{- else }}
              value: {{ tpl (toString $value | quote) $.root }}
            {{- end }}
          {{- end }}
          {{- if $global.customCACerts }}
          volumeMounts: [{name: ca-certs, mountPath: /usr/local/share/ca-certificates}]
          {{- end }}
      {{- if $global.customCACerts }}
      volumes: [{name: ca-certs, configMap: {name: {{ .root.Release.Name }}-ca-certs}}]
      {{- end }}
{{- end }}
