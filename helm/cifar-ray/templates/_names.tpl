{{- define "cifar-ray.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end -}}
{{- end }}

{{- define "cifar-ray.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* Of pods. Without app.kubernetes.io/name: the head service of a RayJob's own cluster selects by KubeRay's value of it. */}}
{{- define "cifar-ray.podLabels" -}}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/part-of: {{ .root.Chart.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "cifar-ray.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}
{{- else }}{{ .repository }}:{{ .tag | default (printf "%s-ray%s" $.Chart.AppVersion $.Values.rayVersion) }}{{ end -}}
{{- end -}}
{{- end }}

{{- define "cifar-ray.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "cifar-ray.fullname" .) -}}
{{- end }}

{{- /* KubeRay names the service after the RayCluster. */}}
{{- define "cifar-ray.dashboard" -}}
http://{{ include "cifar-ray.fullname" . }}-head-svc.{{ .Release.Namespace }}.svc:8265
{{- end }}

{{- define "cifar-ray.store.name" -}}{{ include "cifar-ray.fullname" . }}-store{{- end }}

{{- define "cifar-ray.store.uri" -}}
{{- .Values.objectStore.embedded.enabled | ternary "s3://cifar-ray/results" .Values.objectStore.uri -}}
{{- end }}

{{- define "cifar-ray.store.endpoint" -}}
{{- if .Values.objectStore.embedded.enabled }}http://{{ include "cifar-ray.store.name" . }}.{{ .Release.Namespace }}.svc:8333
{{- else }}{{ .Values.objectStore.endpoint }}{{ end -}}
{{- end }}

{{- define "cifar-ray.store.port" -}}
{{- $endpoint := include "cifar-ray.store.endpoint" . | trimSuffix "/" -}}
{{- if regexMatch ":[0-9]+$" $endpoint }}{{ regexFind "[0-9]+$" $endpoint }}
{{- else }}{{ hasPrefix "http://" $endpoint | ternary 80 443 }}{{ end -}}
{{- end }}

{{- define "cifar-ray.store.secret" -}}
{{- .Values.objectStore.embedded.enabled | ternary (include "cifar-ray.store.name" .) .Values.objectStore.existingSecret -}}
{{- end }}

{{- /* A map's entry over its defaults, as YAML. Not `merge`: it takes 0 and false for absent. */}}
{{- define "cifar-ray.over" -}}
{{- $result := deepCopy .defaults -}}
{{- range $key, $value := .own -}}
{{- if eq $key "resources" -}}{{- $value = merge (deepCopy $value) $result.resources -}}{{- end -}}
{{- $_ := set $result $key $value -}}
{{- end -}}
{{- toYaml $result -}}
{{- end }}

{{- /* The worker groups by name, each over the defaults, as YAML. A null removes a group, and stays with --reuse-values. */}}
{{- define "cifar-ray.workerGroups" -}}
{{- $groups := dict -}}
{{- range $name, $own := .Values.workerGroups -}}
{{- if not (kindIs "invalid" $own) -}}
{{- $_ := include "cifar-ray.over" (dict "defaults" $.Values.workerDefaults "own" $own) | fromYaml | set $groups $name -}}
{{- end -}}
{{- end -}}
{{- toYaml $groups -}}
{{- end }}

{{- /* The study `name`: its values over the defaults, its RayJob and, for a sweep, its id. A RayJob that changes between a cluster
       of its own and the release's needs another name: KubeRay would delete, with the job's end, the cluster that it first ran on.
       One that is null is not enabled, whatever studyDefaults says. */}}
{{- define "cifar-ray.study" -}}
{{- $study := include "cifar-ray.over" (dict "defaults" .root.Values.studyDefaults "own" (index .root.Values.studies .name)) | fromYaml -}}
{{- $_ := set $study "enabled" (and $study.enabled (not (kindIs "invalid" (index .root.Values.studies .name)))) -}}
{{- $_ := set $study "jobName" (printf "%s-%s%s" (include "cifar-ray.fullname" .root) .name (ternary "-own" "" $study.ownCluster)) -}}
{{- $_ := set $study "sweepId" ($study.sweepId | default (printf "%s-%s" .name .root.Release.Name)) -}}
{{- toYaml $study -}}
{{- end }}

{{- /* The seconds for which an evaluation waits for its sweeps: two and a half hours, or half the time, less than the deadline of its job,
       which counts from before the pod. Scoring may take two of them, a node's coming included. */}}
{{- define "cifar-ray.patience" -}}
{{- $deadline := int .activeDeadlineSeconds -}}
{{- max (sub $deadline 9000) (div $deadline 2) -}}
{{- end }}
