{{- /* What the schema cannot say. Each message names the value and what to do. */}}
{{- define "cifar-ray.checks" -}}
{{- $values := .Values -}}
{{- $fullname := include "cifar-ray.fullname" . -}}
{{- /* KubeRay takes 53 characters and starts with a letter, but shortens the token's Secret to 50 */ -}}
{{- if not (regexMatch "^[a-z][a-z0-9-]{0,49}$" $fullname) -}}
{{- fail (printf "release name: RayCluster %q has %d characters; it may have 50 of a-z, 0-9 and -, and starts with a letter: take another release name" $fullname (len $fullname)) -}}
{{- end -}}
{{- /* Kubernetes labels a StatefulSet's pods with its name and a hash of ten: 63 characters in all */ -}}
{{- if and $values.objectStore.embedded.enabled (gt (len $fullname) 46) -}}
{{- fail (printf "release name: %q has %d characters; with the embedded store it may have 46: take a shorter release name" $fullname (len $fullname)) -}}
{{- end -}}
{{- if not $values.image.repository -}}
{{- fail "image.repository: name your image's, REGISTRY/cifar-ray; none is published: docker build, docker push (docs/kubernetes.md, 2)" -}}
{{- end -}}
{{- if and $values.auth.enabled (semverCompare "<2.52.0" $values.rayVersion) -}}
{{- fail (printf "rayVersion: Ray %s has no token authentication; take 2.52 or later, or set auth.enabled=false where nobody else reaches the cluster" $values.rayVersion) -}}
{{- end -}}
{{- if eq (not $values.objectStore.uri) (not $values.objectStore.embedded.enabled) -}}
{{- fail "objectStore.uri: say where results go, s3://bucket/prefix, or set objectStore.embedded.enabled=true to try out; not both" -}}
{{- end -}}
{{- range $name, $uri := dict "objectStore.uri" $values.objectStore.uri "data.source" $values.data.source -}}
{{- if regexMatch "^s3://[0-9]+[.][0-9]+[.][0-9]+[.][0-9]+(/|$)" (toString $uri) -}}
{{- fail (printf "%s: S3 takes no bucket with an address for a name; name the bucket, and a store other than AWS by objectStore.endpoint" $name) -}}
{{- end -}}
{{- if regexMatch "/[.][.]?(/|$)" (toString $uri) -}}
{{- fail (printf "%s: %q has a part that is . or ..; name the prefix itself" $name $uri) -}}
{{- end -}}
{{- end -}}
{{- range $name := list "endpoint" "existingSecret" -}}
{{- if and $values.objectStore.embedded.enabled (index $values.objectStore $name) -}}
{{- fail (printf "objectStore.%s: the embedded store has its own; leave it empty, or set objectStore.embedded.enabled=false" $name) -}}
{{- end -}}
{{- end -}}
{{- range $name, $address := dict "objectStore.endpoint" $values.objectStore.endpoint "gcsFaultTolerance.redisAddress" $values.gcsFaultTolerance.redisAddress -}}
{{- if gt (regexFind ":[0-9]+/?$" $address | trimPrefix ":" | trimSuffix "/" | int) 65535 -}}
{{- fail (printf "%s: ports end at 65535, %q has a higher one" $name $address) -}}
{{- end -}}
{{- end -}}
{{- $groups := include "cifar-ray.workerGroups" . | fromYaml -}}
{{- if not $groups -}}
{{- fail "workerGroups: all are null; name one" -}}
{{- end -}}
{{- if and $values.kueue.queueName $values.autoscaler.enabled -}}
{{- fail "kueue.queueName: Kueue admits clusters of fixed size; set autoscaler.enabled=false, and every worker group has `max` pods" -}}
{{- end -}}
{{- range $name, $group := $groups -}}
{{- if gt (int $group.min) (int $group.max) -}}
{{- fail (printf "workerGroups.%s.min: %d is above max, which is %d" $name (int $group.min) (int $group.max)) -}}
{{- end -}}
{{- if not $group.terminationGracePeriodSeconds -}}
{{- fail (printf "workerGroups.%s.terminationGracePeriodSeconds: a worker drains until 10 s before its end and must know it; set it, here or in workerDefaults" $name) -}}
{{- end -}}
{{- if and $values.autoscaler.enabled (not $group.resources.cpu) -}}
{{- fail (printf "workerGroups.%s.resources.cpu: Ray's autoscaler must know it; set one, or autoscaler.enabled=false" $name) -}}
{{- end -}}
{{- if and $group.priority (semverCompare "<2.56.0" $values.rayVersion) -}}
{{- fail (printf "workerGroups.%s.priority: Ray %s has none; take 2.56 or later, or leave it 0" $name $values.rayVersion) -}}
{{- end -}}
{{- end -}}
{{- $user := $values.security.runAsUser -}}
{{- if and $values.security.runAsNonRoot (not (kindIs "invalid" $user)) (eq (int $user) 0) -}}
{{- fail "security.runAsUser: 0 is root, whose pods the kubelet does not start with security.runAsNonRoot=true; set that to false too" -}}
{{- end -}}
{{- $policy := $values.networkPolicy -}}
{{- $peers := dict "store" (not $values.objectStore.embedded.enabled) "apiServer" $values.autoscaler.enabled "prometheus" $values.monitoring.podMonitor.enabled -}}
{{- range $name, $isUsed := $peers -}}
{{- if and $policy.enabled $isUsed (not (index $policy $name)) -}}
{{- fail (printf "networkPolicy.%s: Kubernetes takes an empty list of peers for everybody; name those that are meant" $name) -}}
{{- end -}}
{{- end -}}
{{- if not (or $values.serviceAccount.create $values.serviceAccount.name) -}}
{{- fail "serviceAccount.name: name the one that is there; KubeRay gives the account of the head rights on the namespace's pods, which the default one should not have" -}}
{{- end -}}
{{- $account := include "cifar-ray.serviceAccountName" . -}}
{{- /* as the head's pod has it, where it also runs the autoscaler */ -}}
{{- if and $values.autoscaler.enabled (not (regexMatch "^[a-z].{0,49}$" $account)) -}}
{{- fail (printf "serviceAccount.name: KubeRay makes of %q another name, of at most 50 characters and starting with a letter: take one that is so" $account) -}}
{{- end -}}
{{- $ids := list -}}
{{- $longest := 0 -}}
{{- range $name, $_ := $values.studies -}}
{{- $study := include "cifar-ray.study" (dict "root" $ "name" $name) | fromYaml -}}
{{- if $study.enabled -}}
{{- if gt (len $study.jobName) 47 -}}
{{- fail (printf "studies.%s.enabled: RayJob %q has %d characters, KubeRay takes 47: take a shorter release name" $name $study.jobName (len $study.jobName)) -}}
{{- end -}}
{{- if and $study.backoffLimit (not $study.ownCluster) -}}
{{- fail (printf "studies.%s.backoffLimit: KubeRay tries a job again on a new cluster only; set studies.%s.ownCluster=true" $name $name) -}}
{{- end -}}
{{- if not (or $study.ownCluster $values.cluster.enabled) -}}
{{- fail (printf "studies.%s.ownCluster: with cluster.enabled=false there is no other to run on; set it to true" $name) -}}
{{- end -}}
{{- if ne $name "evaluate" -}}
{{- if has $study.sweepId $ids -}}
{{- fail (printf "studies.%s.sweepId: another study has %q, and a sweep is of one; take another id" $name $study.sweepId) -}}
{{- end -}}
{{- $ids = append $ids $study.sweepId -}}
{{- $longest = max $longest (mul (int $study.activeDeadlineSeconds) (add1 (int $study.backoffLimit))) -}}
{{- include "cifar-ray.checkSweepArgs" (dict "name" $name "study" $study) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $evaluate := include "cifar-ray.study" (dict "root" $ "name" "evaluate") | fromYaml -}}
{{- if and $evaluate.enabled $evaluate.ownCluster $ids -}}
{{- if not $values.autoscaler.enabled -}}
{{- fail "studies.evaluate.ownCluster: its cluster would hold all its workers while it waits for the sweeps; enable it in an upgrade once they have ended, or set studies.evaluate.ownCluster=false" -}}
{{- end -}}
{{- range $name, $group := $groups -}}
{{- if gt (int $group.min) 0 -}}
{{- fail (printf "studies.evaluate.ownCluster: its cluster would hold the %d workers of workerGroups.%s.min while it waits for the sweeps; set that to 0, enable evaluate in an upgrade once they have ended, or set studies.evaluate.ownCluster=false" (int $group.min) $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $evaluate.enabled (not $evaluate.sweeps) (lt (include "cifar-ray.patience" $evaluate | int64) $longest) -}}
{{- fail (printf "studies.evaluate.activeDeadlineSeconds: it would stop waiting before the sweeps' own deadline, %d s with all tries; set it to %d, or name studies.evaluate.sweeps" $longest (add $longest 10800)) -}}
{{- end -}}
{{- if and $evaluate.enabled (not (or $evaluate.sweeps $ids)) -}}
{{- fail "studies.evaluate.sweeps: nothing to evaluate; name sweeps, or enable a study" -}}
{{- end -}}
{{- end }}

{{- /* The options of a sweep, its own or studyDefaults'. Takes: name, study. */}}
{{- define "cifar-ray.checkSweepArgs" -}}
{{- $study := .study -}}
{{- $value := printf "studies.%s.args (or studyDefaults.args)" .name -}}
{{- range $study.args -}}
{{- if regexMatch "^--(sweep-id|storage|resume|start-or-resume)(=|$)" . -}}
{{- fail (printf "%s: %s is the chart's to give; leave it out: sweepId names the sweep, objectStore its store, and a sweep that has begun is resumed" $value .) -}}
{{- end -}}
{{- if regexMatch "^--time-limit(=|$)" . -}}
{{- if not $study.ownCluster -}}
{{- fail (printf "%s: on the release's cluster, activeDeadlineSeconds sets --time-limit; leave it out, and set studies.%s.activeDeadlineSeconds" $value $.name) -}}
{{- end -}}
{{- if $study.backoffLimit -}}
{{- fail (printf "studies.%s.backoffLimit: a sweep that reaches its --time-limit would be tried again, with all of it anew; leave out one of the two" $.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}
