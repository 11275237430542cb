{{/*
The group and version in which this Kubernetes serves mutating admission policies, the newest first. Without a cluster,
as with `helm template`, no kind is known to be served (not even a pod), and the version of Kubernetes decides.
*/}}
{{- define "operator.injectionVersion" -}}
{{- $kubernetes := .Capabilities.KubeVersion.Version -}}
{{- $known := .Capabilities.APIVersions -}}
{{- $found := "" -}}
{{- range list "v1" "v1beta1" "v1alpha1" -}}
{{- $version := printf "admissionregistration.k8s.io/%s" . -}}
{{- if and (not $found) ($known.Has (printf "%s/MutatingAdmissionPolicy" $version)) -}}
{{- $found = $version -}}
{{- end -}}
{{- end -}}
{{- if and (not $found) (not ($known.Has "v1/Pod")) (semverCompare ">=1.36-0" $kubernetes) -}}
{{- $found = "admissionregistration.k8s.io/v1" -}}
{{- end -}}
{{- required (printf "injection.enabled needs MutatingAdmissionPolicy, which Kubernetes serves from 1.36 on, and this one, %s, does not: use a newer one, or turn the API on in its API server (before 1.36 by --feature-gates and --runtime-config), or set injection.enabled to false" $kubernetes) $found -}}
{{- end -}}

{{/* The label and annotation of a pod that names a Secret. */}}
{{- define "operator.injectionName" -}}
auth.wandb.com/credentials
{{- end -}}

{{/* The annotation of a pod that names the containers without credentials. */}}
{{- define "operator.injectionSkips" -}}
auth.wandb.com/credentials-skip-containers
{{- end -}}

{{/* Where programs expect the files of the Secret: values that are paths refer to it. */}}
{{- define "operator.injectionMount" -}}
/var/run/secrets/auth.wandb.com
{{- end -}}

{{/* The volume with the files of the Secret. */}}
{{- define "operator.injectionVolume" -}}
auth-wandb-com-credentials
{{- end -}}

{{/* The volume for temporary files, among them the client's access tokens. */}}
{{- define "operator.injectionScratch" -}}
auth-wandb-com-tmp
{{- end -}}

{{/*
The changes (RFC 6902) of one list of containers, `containers` or `initContainers`. Each part looks at the pod as it came,
and the changes are made in this order, so a list is there before something is put into it.

- Of several sources in `envFrom`, the last one that has a variable counts. So the Secret comes first, and what the
  container has itself counts.
- The client refuses to work with a key and a token. If the container sets one of them itself, the other one is empty.
- The client needs a place for temporary files to start at all, and keeps its access tokens there. Each container has a
  directory of its own, since containers may run as different users.
*/}}
{{- define "operator.injectionOfContainers" -}}
{{- $list := . -}}
{{- $mount := include "operator.injectionMount" . -}}
{{- $each := printf "variables.%s.transformList(i, c, !(c.name in variables.skipped)" $list -}}
{{- $add := printf "JSONPatch{op: \"add\", path: \"/spec/%s/\" + string(i) +" $list -}}
{{- $type := printf "Object.spec.%s" $list -}}
{{ $each }} && !has(c.envFrom),
  {{ $add }} "/envFrom", value: []}) +
{{ $each }} && !c.?envFrom.orValue([]).exists(source, source.?secretRef.?name.orValue("") == variables.secret),
  {{ $add }} "/envFrom/0", value:
    {{ $type }}.envFrom{secretRef: {{ $type }}.envFrom.secretRef{name: variables.secret}}}) +
{{- range $set, $emptied := dict "WANDB_API_KEY" "WANDB_IDENTITY_TOKEN_FILE" "WANDB_IDENTITY_TOKEN_FILE" "WANDB_API_KEY" }}
{{ $each }} && c.?env.orValue([]).exists(variable, variable.name == "{{ $set }}") &&
    !c.env.exists(variable, variable.name == "{{ $emptied }}"),
  {{ $add }} "/env/-", value:
    {{ $type }}.env{name: "{{ $emptied }}", value: ""}}) +
{{- end }}
{{ $each }} && !has(c.volumeMounts),
  {{ $add }} "/volumeMounts", value: []}) +
{{ $each }} && variables.mountsSecret &&
    !c.?volumeMounts.orValue([]).exists(mount, mount.mountPath in ["{{ $mount }}", "{{ $mount }}/"]),
  {{ $add }} "/volumeMounts/-", value:
    {{ $type }}.volumeMounts{name: "{{ include "operator.injectionVolume" . }}", mountPath: "{{ $mount }}", readOnly: true}}) +
{{ $each }} && variables.mountsScratch && c.?securityContext.?readOnlyRootFilesystem.orValue(false) &&
    !c.?env.orValue([]).exists(variable, variable.name == "WANDB_CREDENTIALS_FILE") &&
    !c.?volumeMounts.orValue([]).exists(mount, mount.mountPath in ["/tmp", "/tmp/"]),
  {{ $add }} "/volumeMounts/-", value:
    {{ $type }}.volumeMounts{name: "{{ include "operator.injectionScratch" . }}", mountPath: "/tmp", subPath: c.name}})
{{- end -}}

{{/* The change that gives the pod a volume, if a container mounts it by now: takes the name and the source of the volume. */}}
{{- define "operator.injectionOfVolume" -}}
("{{ index . 0 }}" in variables.mounted && !variables.volumes.exists(volume, volume.name == "{{ index . 0 }}") ?
  [JSONPatch{op: "add", path: "/spec/volumes/-", value: Object.spec.volumes{name: "{{ index . 0 }}",
    {{ index . 1 }}}}] : [])
{{- end -}}
