{{- /* The spec of a RayCluster: the release's, or a study's own. */}}
{{- define "cifar-ray.cluster" -}}
{{- $values := .Values -}}
{{- $groups := include "cifar-ray.workerGroups" . | fromYaml -}}
rayVersion: {{ $values.rayVersion | quote }}
authOptions:
  mode: {{ $values.auth.enabled | ternary "token" "disabled" }}
enableInTreeAutoscaling: {{ $values.autoscaler.enabled }}
{{- if $values.autoscaler.enabled }}
autoscalerOptions:
  version: v2
  idleTimeoutSeconds: {{ int $values.autoscaler.idleTimeoutSeconds }}
  upscalingMode: {{ $values.autoscaler.upscalingMode }}
  imagePullPolicy: {{ $values.image.pullPolicy }}
  resources:
    {{- include "cifar-ray.resources" $values.autoscaler.resources | trim | nindent 4 }}
  securityContext:
    {{- include "cifar-ray.containerSecurity" . | nindent 4 }}
  env:
    - name: HOME
      value: /scratch
    - name: RAY_USAGE_STATS_ENABLED
      value: "0"
    # seconds until a pod that has not started is given up for another group that fits the trials as well; Ray's default is an hour
    - name: RAY_AUTOSCALER_RECONCILE_ALLOCATE_STATUS_TIMEOUT_S
      value: "1200"
    # seconds until its group is tried again: once all others were. With Ray's default of ten minutes, the third of three never was
    - name: RAY_AUTOSCALER_AVAILABILITY_RECOVERY_S
      value: {{ mul 1200 (add1 (len $groups)) | quote }}
    # seconds until a pending pod that no trial waits for is given up; Ray's default is never
    - name: RAY_AUTOSCALER_PENDING_NODE_IDLE_TIMEOUT_S
      value: "120"
  volumeMounts:
    - name: tmp
      mountPath: /tmp
    - name: scratch
      mountPath: /scratch
    - name: api-access
      mountPath: /var/run/secrets/kubernetes.io/serviceaccount
      readOnly: true
{{- end }}
{{- with $values.gcsFaultTolerance }}
{{- if .redisAddress }}
gcsFaultToleranceOptions:
  redisAddress: {{ .redisAddress | quote }}
  {{- if .existingSecret }}
  redisPassword:
    valueFrom:
      secretKeyRef:
        name: {{ .existingSecret | quote }}
        key: {{ .existingSecretKey | quote }}
  {{- end }}
{{- end }}
{{- end }}
headGroupSpec:
  rayStartParams:
    num-cpus: "0"
    # Ray counts the GPUs that it sees, and on nodes whose default runtime is NVIDIA's those are all of the node's
    num-gpus: "0"
  template:
    {{- include "cifar-ray.headPod" . | nindent 4 }}
workerGroupSpecs:
  {{- range $name, $group := $groups }}
  {{- include "cifar-ray.workerGroup" (dict "root" $ "name" $name "group" $group) | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "cifar-ray.headPod" -}}
{{- $ports := list
  (dict "name" "gcs-server" "containerPort" 6379)
  (dict "name" "dashboard" "containerPort" 8265)
  (dict "name" "client" "containerPort" 10001)
  (dict "name" "metrics" "containerPort" 8080)
  (dict "name" "as-metrics" "containerPort" 44217)
  (dict "name" "dash-metrics" "containerPort" 44227) -}}
{{- with .Values.head -}}
{{- /* Ray kills a job 3 s after it has told it to stop, by default: too soon to write its records */ -}}
{{- $env := list (dict "name" "RAY_JOB_STOP_WAIT_TIME_S" "value" "20") -}}
{{- with include "cifar-ray.pools" $ -}}
{{- $env = append $env (dict "name" "CIFAR_RAY_POOLS" "value" .) -}}
{{- end -}}
{{- $container := dict "name" "ray-head" "resources" .resources "ports" $ports -}}
{{- include "cifar-ray.pod" (dict "root" $ "component" "head" "container" $container "sharedMemory" .resources.memory
  "scheduling" . "apiAccess" $.Values.autoscaler.enabled "env" $env) -}}
{{- end -}}
{{- end }}

{{- /* What the autoscaler may add, which Ray tells no job. A CPU begun is a CPU, as KubeRay counts; the schema has it that Ray takes accelerators for GPUs. */}}
{{- define "cifar-ray.pools" -}}
{{- $pools := list -}}
{{- if .Values.autoscaler.enabled -}}
{{- range $name, $group := include "cifar-ray.workerGroups" . | fromYaml -}}
{{- $cpu := $group.resources.cpu | toString -}}
{{- $cpus := hasSuffix "m" $cpu | ternary (divf (trimSuffix "m" $cpu | float64) 1000) (float64 $cpu) | ceil | int -}}
{{- $type := empty $group.accelerator | ternary "" (printf ",accelerator=%s" $group.accelerator) -}}
{{- $pools = append $pools (printf "%s:max=%d,cpu=%d,gpu=%d%s" $name (int $group.max) $cpus (int $group.accelerators) $type) -}}
{{- end -}}
{{- end -}}
{{- join " " $pools -}}
{{- end }}

{{- /* Takes: root, name, group. */}}
{{- define "cifar-ray.workerGroup" -}}
{{- $autoscaler := .root.Values.autoscaler.enabled -}}
{{- $ports := list (dict "name" "metrics" "containerPort" 8080) -}}
{{- with .group -}}
{{- $resources := merge (pick . "accelerators" "acceleratorResource") .resources -}}
{{- $script := $.root.Files.Get "files/drain.sh" -}}
{{- $drain := list "/bin/bash" "-c" $script "drain" (sub (int .terminationGracePeriodSeconds) 10 | toString) -}}
{{- $container := dict "name" "ray-worker" "resources" $resources "ports" $ports
  "lifecycle" (dict "preStop" (dict "exec" (dict "command" $drain))) -}}
- groupName: {{ $.name | quote }}
  {{- if not $autoscaler }}
  # the autoscaler's to set: an upgrade would take its workers away
  replicas: {{ int .max }}
  {{- end }}
  minReplicas: {{ int ($autoscaler | ternary .min .max) }}
  maxReplicas: {{ int .max }}
  {{- if $autoscaler }}
  {{- with .idleTimeoutSeconds }}
  idleTimeoutSeconds: {{ int . }}
  {{- end }}
  {{- with .priority }}
  priority: {{ int . }}
  {{- end }}
  {{- end }}
  labels:
    ray.io/market-type: {{ .market }}
    {{- with .accelerator }}
    ray.io/accelerator-type: {{ . | quote }}
    {{- end }}
  rayStartParams:
    {{- gt (int .accelerators) 0 | ternary dict (dict "num-gpus" "0") | toYaml | nindent 4 }}
  template:
    {{- include "cifar-ray.pod" (dict "root" $.root "component" "worker" "container" $container
      "sharedMemory" .resources.memory "scheduling" . "terminationGracePeriodSeconds" .terminationGracePeriodSeconds) | nindent 4 }}
{{- end }}
{{- end }}
