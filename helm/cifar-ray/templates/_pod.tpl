{{- /*
The pod template of head, workers, submitters and helm tests. Takes: root, component, container (name, resources and what
else it alone has), and optionally initContainer, sharedMemory, apiAccess, scheduling (nodeSelector and so on),
terminationGracePeriodSeconds.
*/}}
{{- define "cifar-ray.pod" -}}
{{- $security := .root.Values.security -}}
{{- $scheduling := .scheduling | default dict -}}
metadata:
  labels:
    {{- include "cifar-ray.podLabels" . | nindent 4 }}
  # keeps node autoscalers from consolidating or replacing the node under it: Ray's autoscaler removes idle workers, the others train
  annotations:
    karpenter.sh/do-not-disrupt: "true"
    cluster-autoscaler.kubernetes.io/safe-to-evict: "false"
spec:
  serviceAccountName: {{ include "cifar-ray.serviceAccountName" .root | quote }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  restartPolicy: Never
  {{- with .terminationGracePeriodSeconds }}
  terminationGracePeriodSeconds: {{ int . }}
  {{- end }}
  securityContext:
    {{- include "cifar-ray.podSecurity" .root | nindent 4 }}
  {{- with .root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . | quote }}
    {{- end }}
  {{- end }}
  {{- range $field := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" "runtimeClassName" }}
  {{- with index $scheduling $field }}
  {{- dict $field . | toYaml | nindent 2 }}
  {{- end }}
  {{- end }}
  {{- with .initContainer }}
  initContainers:
    - {{- include "cifar-ray.container" (dict "root" $.root "container" .) | nindent 6 }}
  {{- end }}
  containers:
    - {{- include "cifar-ray.container" . | nindent 6 }}
  volumes:
    - name: tmp
      emptyDir:
        sizeLimit: {{ $security.writableSize }}
    - name: scratch
      emptyDir:
        sizeLimit: {{ $security.writableSize }}
    {{- if .apiAccess }}
    # as Kubernetes would mount it into every container; the autoscaler's alone does, not that where jobs run
    - name: api-access
      projected:
        sources:
          - serviceAccountToken:
              path: token
              expirationSeconds: 3607
          - configMap:
              name: kube-root-ca.crt
              items:
                - key: ca.crt
                  path: ca.crt
          - downwardAPI:
              items:
                - path: namespace
                  fieldRef:
                    fieldPath: metadata.namespace
    {{- end }}
    {{- with .sharedMemory }}
    - name: shared-memory
      emptyDir:
        medium: Memory
        sizeLimit: {{ . }}
    {{- end }}
{{- end }}

{{- define "cifar-ray.container" -}}
{{- $own := omit .container "resources" -}}
{{- toYaml $own }}
image: {{ include "cifar-ray.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
workingDir: /home/ray/cifar-ray
env:
  {{- include "cifar-ray.env" .root | nindent 2 }}
  {{- if not .container.resources.accelerators }}
  # the image asks for all of the node's, which NVIDIA's runtime gives where it is the default
  - name: NVIDIA_VISIBLE_DEVICES
    value: void
  {{- end }}
  {{- with .env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with include "cifar-ray.store.secret" .root }}
envFrom:
  - secretRef:
      name: {{ . | quote }}
{{- end }}
resources:
  {{- include "cifar-ray.resources" .container.resources | trim | nindent 2 }}
securityContext:
  {{- include "cifar-ray.containerSecurity" .root | nindent 2 }}
volumeMounts:
  - name: tmp
    mountPath: /tmp
  - name: scratch
    mountPath: /scratch
  {{- if .sharedMemory }}
  - name: shared-memory
    mountPath: /dev/shm
  {{- end }}
{{- end }}

{{- define "cifar-ray.env" -}}
- name: CIFAR_RAY_STORAGE
  value: {{ include "cifar-ray.store.uri" . | quote }}
{{- with include "cifar-ray.store.endpoint" . }}
- name: AWS_ENDPOINT_URL_S3
  value: {{ . | quote }}
{{- end }}
- name: AWS_REGION
  value: {{ .Values.objectStore.region | quote }}
- name: CIFAR_RAY_DATA
  value: {{ .Values.data.source | quote }}
- name: HOME
  value: /scratch
- name: CIFAR_RAY_HOME
  value: /scratch/cifar-ray
- name: RAY_USAGE_STATS_ENABLED
  value: "0"
{{- range $name, $value := .Values.extraEnv }}
- name: {{ $name | quote }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{- define "cifar-ray.podSecurity" -}}
{{- with .Values.security -}}
runAsNonRoot: {{ .runAsNonRoot }}
{{- range $field := list "runAsUser" "runAsGroup" "fsGroup" }}
{{- $id := index $.Values.security $field }}
{{- if not (kindIs "invalid" $id) }}
{{ $field }}: {{ int $id }}
{{- end }}
{{- end }}
{{- with .seccompProfile }}
seccompProfile:
  type: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "cifar-ray.containerSecurity" -}}
{{- with .Values.security -}}
allowPrivilegeEscalation: {{ .allowPrivilegeEscalation }}
readOnlyRootFilesystem: {{ .readOnlyRootFilesystem }}
{{- if .dropCapabilities }}
capabilities:
  drop:
    - ALL
{{- end }}
{{- end }}
{{- end }}

{{- /* Requests equal to limits: a trial's speed should not depend on its neighbours. */}}
{{- define "cifar-ray.resources" -}}
{{- $amounts := dict "cpu" .cpu "memory" .memory "ephemeral-storage" .ephemeralStorage -}}
{{- if .accelerators }}{{ $_ := set $amounts .acceleratorResource (int .accelerators) }}{{ end -}}
{{- range $kind := list "limits" "requests" }}
{{ $kind }}:
  {{- range $name, $amount := $amounts }}
  {{- if not (kindIs "invalid" $amount) }}
  {{ $name }}: {{ $amount | toString | quote }}
  {{- end }}
  {{- end }}
{{- end }}
{{- end }}
